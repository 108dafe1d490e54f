/**
 * Summary of image files as they were before they became a data set.
 *
 * @module
 */

import type { ImageTrait } from "./decode/decode.ts";
import type { Dimensions } from "./decode/dimensions.ts";

/** Image files that a data set was made of. */
export interface ImageFileSummary {
  /** Files read, those left out not counted. */
  readonly files: number;
  /** Narrowest and widest source, pixels. */
  readonly widths: readonly [number, number];
  /** Lowest and highest source, pixels. */
  readonly heights: readonly [number, number];
  /** Files of another size than the data set's images. */
  readonly resized: number;
  /** Files by what was converted; a file may have several such traits, and most have none. */
  readonly converted: Readonly<Partial<Record<ImageTrait, number>>>;
  /** Files left out because they cannot be decoded. */
  readonly leftOut: number;
  /** Notes for the user before reading: skipped entries, label files, splits. */
  readonly layoutNotes: readonly string[];
  /** Notes for the user after reading: what was converted, and left out. */
  readonly notes: readonly string[];
}

/** Collects a summary file by file. */
export class FileCounts {
  readonly #frame: Dimensions;
  readonly #traits = new Map<ImageTrait, number>();
  #files = 0;
  #resized = 0;
  #widths: [number, number] = [Infinity, 0];
  #heights: [number, number] = [Infinity, 0];

  /** @param frame size of the data set's images */
  constructor(frame: Dimensions) {
    this.#frame = frame;
  }

  /** Files added. */
  get files(): number {
    return this.#files;
  }

  /** Files of another size than the data set's. */
  get resized(): number {
    return this.#resized;
  }

  /** Number of files by trait. */
  get traits(): ReadonlyMap<ImageTrait, number> {
    return this.#traits;
  }

  /** Adds a file. */
  add({ width, height, traits }: Dimensions & { readonly traits: readonly ImageTrait[] }): void {
    this.#files++;
    if (width !== this.#frame.width || height !== this.#frame.height) this.#resized++;
    for (const trait of traits) this.#traits.set(trait, (this.#traits.get(trait) ?? 0) + 1);
    this.#widths = widened(this.#widths, width);
    this.#heights = widened(this.#heights, height);
  }

  /** The summary. */
  finish(leftOut: number, layoutNotes: readonly string[], notes: readonly string[]): ImageFileSummary {
    return {
      files: this.#files,
      widths: this.#widths,
      heights: this.#heights,
      resized: this.#resized,
      converted: Object.fromEntries(this.#traits),
      leftOut,
      layoutNotes,
      notes,
    };
  }
}

function widened([least, most]: [number, number], value: number): [number, number] {
  return [Math.min(least, value), Math.max(most, value)];
}
