// Marks divide a stream, however it was cut on its way.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MarkedStream } from '../../src/jacamar-auth/downscope/marked-stream.ts';

async function* cut(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const collector = () => {
  const chunks: Buffer[] = [];
  const write = async (chunk: Uint8Array) => void chunks.push(Buffer.from(chunk));
  return { write, text: () => Buffer.concat(chunks).toString('latin1') };
};

const streamOf = (text: string, ...sizes: number[]) =>
  new MarkedStream(cut(Buffer.from(text, 'latin1'), sizes.length === 0 ? [text.length] : sizes));

describe('a marked stream', () => {
  it('passes on what stands before a mark, byte for byte, and gives the line after it', async () => {
    const mark = '\0ab';
    const text = fc.string({ unit: fc.constantFrom('\0', 'a', 'b', '\n', '\xff'), maxLength: 40 });
    const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(text, sizes, async (output, cuts) => {
        fc.pre(!`${output}${mark}`.slice(0, -1).includes(mark));
        const { write, text: passed } = collector();
        const stream = streamOf(`${output}${mark}the message\nignored`, ...cuts);
        await stream.until(mark, write);
        assert.equal(await stream.line(), 'the message');
        assert.equal(passed(), output);
      }),
    );
  });

  it('holds back no more than what may be the beginning of the mark', async () => {
    const { write, text } = collector();
    async function* stalling(): AsyncGenerator<Buffer> {
      yield Buffer.from('output \0jaca');
      assert.equal(text(), 'output ');
      yield Buffer.from('rta');
      assert.equal(text(), 'output \0jacarta');
    }
    await assert.rejects(new MarkedStream(stalling()).until('\0jacamar', write), /the end before the mark/);
  });

  it('passes everything on when it ends without the mark', async () => {
    const { write, text } = collector();
    await assert.rejects(streamOf('no mark \0jaca', 3).until('\0jacamar', write));
    assert.equal(text(), 'no mark \0jaca');
  });

  it('takes no line that never ends', async () => {
    await assert.rejects(streamOf('x'.repeat(200_000), 10_000).line(), /without end/);
    await assert.rejects(streamOf('cut off').line(), /without end/);
  });
});
