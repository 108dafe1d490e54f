/**
 * Counts with their nouns.
 *
 * @module
 */

/** A count with its noun, e.g. `1 image`, `2 images`. */
export function counted(count: number, one: string, several = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`;
}
