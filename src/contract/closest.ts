// The name that was probably meant, for messages about one that nobody knows.

/** Of the known names, the one that differs least; none when all are far. Of a dotted name its last part counts. */
export function closest(name: string, known: readonly string[]): string | undefined {
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const candidate of known) {
    const last = candidate.slice(candidate.lastIndexOf('.') + 1);
    const distance = editDistance(last, name);
    const isNear = distance <= Math.min(4, Math.ceil(last.length / 3));
    if (isNear && distance < (best?.distance ?? Infinity)) best = { name: candidate, distance };
  }
  return best?.name;
}

/** Levenshtein's distance; names longer than any of ours need no exact answer. */
function editDistance(one: string, other: string): number {
  if (other.length > 64) return other.length;
  let above = Array.from({ length: other.length + 1 }, (_, column) => column);
  for (const [row, left] of [...one].entries()) {
    const current = [row + 1];
    for (let column = 0; column < other.length; column++) {
      const replaced = (above[column] ?? 0) + (left === other[column] ? 0 : 1);
      current.push(Math.min(replaced, (above[column + 1] ?? 0) + 1, (current[column] ?? 0) + 1));
    }
    above = current;
  }
  return above[other.length] ?? other.length;
}
