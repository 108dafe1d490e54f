/**
 * Fastest measured seconds per step, by the program's batch size. Taking the minimum keeps a measurement on a busy
 * machine from counting forever.
 *
 * @module
 */
import type { EngineTurn } from "../engine/engine.ts";

/** What was measured of one model. */
export class StepTimes {
  readonly #fastest = new Map<number, number>();

  /** @param stepSeconds of a step of one row */
  constructor(stepSeconds: number) {
    this.#fastest.set(1, stepSeconds);
  }

  /** Takes a turn into account. */
  add({ programRows, seconds, steps }: EngineTurn): void {
    this.#fastest.set(programRows, Math.min(seconds / steps, this.#fastest.get(programRows) ?? Infinity));
  }

  /** Seconds of a step with these rows, at least: those of the largest measured program that is no larger. */
  atLeast(rows: number): number {
    let least = 0;
    for (const [size, seconds] of this.#fastest) if (size <= rows) least = Math.max(least, seconds);
    return least;
  }

  /** Seconds of a step with these rows, on the line between the nearest programs that were measured. */
  about(rows: number): number {
    const sizes = [...this.#fastest.keys()];
    const below = Math.max(...sizes.filter((size) => size <= rows));
    const above = Math.min(...sizes.filter((size) => size >= rows));
    const least = this.atLeast(rows);
    if (above === Infinity || above === below) return least;
    const share = (rows - below) / (above - below);
    return least + share * Math.max(0, this.#fastest.get(above)! - least);
  }
}

/** Network rows that a client asks for. */
export interface RowsAsked {
  /** Of all its images. */
  readonly rows: number;
  /** Of the largest of its images. */
  readonly image: number;
}

/**
 * Rows that the batch may have so that nobody's steps are slower than with a fair part of the machine: where one of N
 * clients asks for few rows, a step takes no longer than N of its own would. On a device where a large batch costs
 * little more than a small one, that is all of them.
 *
 * @param most rows of the largest batch
 */
export function fairRows(
  asked: readonly RowsAsked[],
  most: number,
  times: Pick<StepTimes, "about">,
): number {
  if (asked.length < 2) return most;
  const fewest = Math.min(...asked.map(({ rows }) => rows), most);
  const longest = asked.length * times.about(fewest);
  // However the times were measured, each has room for as many rows, and for an image.
  const least = Math.min(most, asked.reduce((sum, { image }) => sum + Math.max(fewest, image), 0));
  let rows = most;
  while (rows > least && times.about(rows) > longest) rows--;
  return rows;
}
