// Reads one job out of a `.gitlab-ci.yml`. A trial knows the keys that decide what the runner is given; whatever would
// make a different script out of the file is refused by name, whatever a trial merely leaves out is warned about.
import { type Document, parseDocument } from 'yaml';
import { JobError } from '../contract/errors.ts';
import { printable } from '../contract/text.ts';
import { type VariableParts, variable } from './job.ts';

/** What a trial takes from the file. */
export interface PipelineJob {
  readonly name: string;
  readonly stage: string;
  /** `before_script` and `script`, flattened. */
  readonly script: readonly string[];
  readonly afterScript: readonly string[];
  readonly variables: readonly VariableParts[];
  readonly idTokens: readonly { readonly name: string; readonly aud: string | readonly string[] }[];
  /** What the trial does differently from GitLab, one sentence each. */
  readonly warnings: readonly string[];
}

type Mapping = Readonly<Record<string, unknown>>;

// Top-level keys that are no jobs.
const GLOBAL_KEYS = new Set(
  'default include stages variables workflow spec image services cache before_script after_script'.split(' '),
);

// With these the script would not be what stands in the file, or there would be no script at all.
const REFUSED_KEYS = ['extends', 'trigger', 'run', 'parallel'];

const KNOWN_KEYS = new Set('stage script before_script after_script variables id_tokens tags'.split(' '));

const INHERITED_KEYS = ['before_script', 'after_script', 'id_tokens'] as const;

/**
 * Picks a job; without a name the only one there is.
 * @throws JobError that names the job and the key.
 */
export function readPipeline(text: string, jobName?: string): PipelineJob {
  const file = parseYaml(text);
  if (file['include'] !== undefined) {
    throw pipelineError('INCLUDE', 'include: a trial reads one file only; give it a file without include');
  }
  const name = pickJob(file, jobName);
  const job = file[name] as Mapping;
  for (const key of REFUSED_KEYS) {
    if (job[key] !== undefined) throw pipelineError('KEY', `job ${name}: a trial does not support \`${key}\``);
  }
  const effective = inherit(file, job);
  const script = commands(effective['script'], name, 'script');
  if (script.length === 0) throw pipelineError('SCRIPT', `job ${name}: has no \`script\``);
  return {
    name,
    stage: typeof job['stage'] === 'string' ? job['stage'] : 'test',
    script: [...commands(effective['before_script'], name, 'before_script'), ...script],
    afterScript: commands(effective['after_script'], name, 'after_script'),
    variables: [...variables(file['variables'], 'variables'), ...variables(job['variables'], `job ${name}: variables`)],
    idTokens: idTokens(effective['id_tokens'], name),
    warnings: warnings(file, job, name),
  };
}

function parseYaml(text: string): Mapping {
  // GitLab reads YAML 1.1, in which `<<` merges and anchors are common.
  const document = parseDocument(text, { version: '1.1', logLevel: 'silent' });
  const [first] = document.errors;
  if (first !== undefined) throw pipelineError('YAML', `not valid YAML: ${first.message.split('\n', 1)[0]}`);
  refuseTags(document);
  // The limit on aliases stops a small file from becoming a huge one.
  const value: unknown = document.toJS({ maxAliasCount: 1000 });
  if (isMapping(value)) return value;
  throw pipelineError('YAML', 'the file holds no mapping of job names');
}

// `!reference` takes parts of other jobs; ignoring it would silently run another script.
function refuseTags(document: Document): void {
  const unknown = document.warnings.find(({ code }) => code === 'TAG_RESOLVE_FAILED');
  if (unknown === undefined) return;
  throw pipelineError('TAG', 'a trial does not support YAML tags such as `!reference`');
}

function pickJob(file: Mapping, wanted: string | undefined): string {
  const names = Object.keys(file).filter((key) => isJob(key, file[key]));
  const list = names.length === 0 ? 'none' : names.join(', ');
  if (wanted !== undefined) {
    if (names.includes(wanted)) return wanted;
    throw pipelineError('JOB', `no job is called ${wanted}; jobs of this file: ${list}`);
  }
  const [only, ...others] = names;
  if (only !== undefined && others.length === 0) return only;
  throw pipelineError('JOB', `choose a job with --job; jobs of this file: ${list}`);
}

function isJob(key: string, value: unknown): boolean {
  return !GLOBAL_KEYS.has(key) && !key.startsWith('.') && isMapping(value);
}

// `default:`, or the same keys at top level as older files have them; the job's own key replaces, it does not add.
function inherit(file: Mapping, job: Mapping): Mapping {
  const defaults = isMapping(file['default']) ? file['default'] : {};
  const inherited = INHERITED_KEYS.map((key) => [key, defaults[key] ?? file[key]] as const);
  return { ...Object.fromEntries(inherited.filter(([, value]) => value !== undefined)), ...job };
}

function commands(value: unknown, job: string, key: string): string[] {
  if (value === undefined || value === null) return [];
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value)) throw pipelineError('SCRIPT', `job ${job}: \`${key}\` must be a text or a list of texts`);
  return value.flatMap((entry) => commands(entry, job, key));
}

function variables(value: unknown, place: string): VariableParts[] {
  if (value === undefined || value === null) return [];
  if (!isMapping(value)) throw pipelineError('VARIABLES', `${place}: must be a mapping`);
  return Object.entries(value).map(([key, entry]) => {
    const detailed = isMapping(entry) ? entry : { value: entry };
    const text = detailed['value'] ?? '';
    if (typeof text === 'object') throw pipelineError('VARIABLES', `${place}: ${key} must be a text or a number`);
    return variable({ key, value: String(text), public: true, raw: detailed['expand'] === false });
  });
}

function idTokens(value: unknown, job: string): { name: string; aud: string | string[] }[] {
  if (value === undefined || value === null) return [];
  if (!isMapping(value)) throw pipelineError('ID_TOKENS', `job ${job}: \`id_tokens\` must be a mapping`);
  return Object.entries(value).map(([name, entry]) => {
    const aud = isMapping(entry) ? entry['aud'] : undefined;
    if (typeof aud === 'string') return { name, aud };
    if (Array.isArray(aud) && aud.every((one) => typeof one === 'string')) return { name, aud };
    throw pipelineError('ID_TOKENS', `job ${job}: \`id_tokens:${name}\` needs an \`aud\`, a text or a list of texts`);
  });
}

function warnings(file: Mapping, job: Mapping, name: string): string[] {
  const ignored = Object.keys(job).filter((key) => !KNOWN_KEYS.has(key));
  const globals = ['workflow', 'image', 'services', 'cache'].filter((key) => file[key] !== undefined);
  return [
    ...ignored.map((key) => `job ${name}: \`${key}\` is ignored in a trial`),
    ...globals.map((key) => `\`${key}\` at top level is ignored in a trial`),
  ];
}

function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// Names of jobs and keys are the words of whoever wrote the file.
function pipelineError(code: string, message: string): JobError {
  return new JobError({ code: `ERR_TRIAL_PIPELINE_${code}`, message: printable(message) });
}
