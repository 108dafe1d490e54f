/**
 * Fastest measured seconds per step, by the program's batch size. Taking the minimum keeps a measurement on a busy
 * machine from counting forever.
 *
 * @module
 */
import type { EngineTurn } from "../engine/engine.ts";

/** Step times of one model. */
export class StepTimes {
  readonly #fastest = new Map<number, number>();

  /** @param stepSeconds seconds per step of one row */
  constructor(stepSeconds: number) {
    this.#fastest.set(1, stepSeconds);
  }

  /** Records a turn. */
  add({ programRows, seconds, steps }: EngineTurn): void {
    this.#fastest.set(programRows, Math.min(seconds / steps, this.#fastest.get(programRows) ?? Infinity));
  }

  /** Lower bound of seconds per step with these rows: the largest measured program with no more rows. */
  atLeast(rows: number): number {
    let least = 0;
    for (const [size, seconds] of this.#fastest) if (size <= rows) least = Math.max(least, seconds);
    return least;
  }

  /** Seconds per step with these rows, interpolated linearly between the nearest measured programs. */
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

/** Network rows that a client requests. */
export interface RowsAsked {
  /** Rows of all its images. */
  readonly rows: number;
  /** Rows of its largest image. */
  readonly image: number;
}

/**
 * Maximum rows of the batch at which no client's steps are slower than with a fair share of the machine: if one of N
 * clients requests few rows, a step takes no longer than N steps of its rows alone. On a device where a large batch costs
 * little more than a small one, that is the whole batch.
 *
 * @param most maximum rows of the batch
 */
export function fairRows(
  asked: readonly RowsAsked[],
  most: number,
  times: Pick<StepTimes, "about">,
): number {
  if (asked.length < 2) return most;
  const fewest = Math.min(...asked.map(({ rows }) => rows), most);
  const longest = asked.length * times.about(fewest);
  // Whatever was measured, each client has room for the fewest rows requested and for its largest image.
  const least = Math.min(most, asked.reduce((sum, { image }) => sum + Math.max(fewest, image), 0));
  let rows = most;
  while (rows > least && times.about(rows) > longest) rows--;
  return rows;
}
