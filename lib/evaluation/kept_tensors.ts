/**
 * Results of long computations over many images, kept in a directory that several processes may use: whole, and part by part
 * while they are under way.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { readModelFile } from "../files/checkpoint_files.ts";
import { withDirectoryLock } from "../files/directory_lock.ts";
import { exists, removeLeftovers, writeDurable } from "../files/durable.ts";
import type { SafeTensor } from "../files/dtypes.ts";
import { decodeWeights, encodeWeights, type StateTensor } from "../files/weights.ts";

/** Named arrays, each with a row for every image. */
type RowsOf<R> = { readonly [Name in keyof R]: Float32Array<ArrayBuffer> };

/** How rows are computed part by part. */
export interface PartComputation<R extends RowsOf<R>> {
  /** Names of the arrays. */
  readonly names: readonly (keyof R & string)[];
  /** Images in all. */
  readonly count: number;
  /** Images in a part. */
  readonly part: number;
  /** Computes the rows of the images from `first` up to `last`. */
  compute(first: number, last: number): Promise<R>;
  /** Called with the number of images done, also of parts that were kept. */
  readonly onPart?: ((done: number) => void | Promise<void>) | undefined;
}

/** A result that is kept. */
export class KeptResult {
  readonly #directory: string;
  readonly #path: string;
  readonly #parts: string;

  /** @param name of the result in the directory */
  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#path = join(directory, `${name}.safetensors`);
    this.#parts = join(directory, `${name}.parts`);
  }

  /**
   * Reads the whole result, and removes parts that a killed process left beside it.
   *
   * @param parse undefined for tensors that are not such a result, as those of a damaged file
   * @returns undefined if it is missing or damaged: it is computed again
   */
  async read<T>(parse: (tensors: ReadonlyMap<string, SafeTensor>) => T | undefined): Promise<T | undefined> {
    const tensors = await readTensors(this.#path);
    const result = tensors && parse(tensors);
    if (result !== undefined && await exists(this.#parts)) await this.#removeParts();
    return result;
  }

  /**
   * Computes rows for images part by part, and keeps each part, so that a computation that was interrupted goes on with the part
   * it was in.
   *
   * @throws {CheckpointError} if a part cannot be written
   */
  async parts<R extends RowsOf<R>>(
    { names, count, part, compute, onPart }: PartComputation<R>,
  ): Promise<R> {
    await removeLeftovers(this.#parts);
    const parts: R[] = [];
    for (let first = 0; first < count; first += part) {
      const last = Math.min(count, first + part);
      const path = join(this.#parts, `${String(first).padStart(8, "0")}.safetensors`);
      const tensors = await readTensors(path);
      let rows = tensors && rowsOf<R>(tensors, names, last - first);
      if (!rows) {
        rows = await compute(first, last);
        const tensors = tensorsOf(rows, names, last - first);
        await this.#exclusively(() => writeTensors(path, tensors));
      }
      await onPart?.(last);
      parts.push(rows);
    }
    return Object.fromEntries(
      names.map((name) => [name, concatenated(parts.map((rows) => rows[name]))]),
    ) as unknown as R;
  }

  /**
   * Writes the whole result, and removes its parts.
   *
   * @throws {CheckpointError} if that fails
   */
  async write(tensors: Readonly<Record<string, StateTensor>>): Promise<void> {
    await this.#exclusively(async () => {
      await removeLeftovers(this.#directory);
      await writeTensors(this.#path, tensors);
    });
    await this.#removeParts();
  }

  async #removeParts(): Promise<void> {
    await this.#exclusively(async () => {
      try {
        await Deno.remove(this.#parts, { recursive: true });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error; // another process has removed them
      }
    });
  }

  /** Parts are removed as a whole, which must not meet another process's write. */
  async #exclusively(body: () => Promise<void>): Promise<void> {
    await withDirectoryLock(this.#directory, body);
  }
}

/** Tensors of a file; undefined for a missing or damaged one. */
async function readTensors(path: string): Promise<ReadonlyMap<string, SafeTensor> | undefined> {
  if (!await exists(path)) return undefined;
  try {
    return (await decodeWeights(await readModelFile(path), path)).tensors;
  } catch (error) {
    if (error instanceof CheckpointError) return undefined;
    throw error;
  }
}

async function writeTensors(path: string, tensors: Readonly<Record<string, StateTensor>>): Promise<void> {
  await writeDurable(path, await encodeWeights(new Map(Object.entries(tensors))));
}

/** Arrays with a row for each of `count` images; undefined if one is missing or has another number of rows. */
export function rowsOf<R extends RowsOf<R>>(
  tensors: ReadonlyMap<string, SafeTensor>,
  names: readonly (keyof R & string)[],
  count: number,
): R | undefined {
  const rows = names.map((name) => {
    const { shape, data } = tensors.get(name) ?? {};
    return shape?.length === 2 && shape[0] === count && data instanceof Float32Array ? data : undefined;
  });
  return rows.includes(undefined)
    ? undefined
    : Object.fromEntries(names.map((name, i) => [name, rows[i]])) as unknown as R;
}

/** Tensors of arrays with a row for each of `count` images. */
export function tensorsOf<R extends RowsOf<R>>(
  rows: R,
  names: readonly (keyof R & string)[],
  count: number,
): Record<string, StateTensor> {
  return Object.fromEntries(names.map((name) => {
    const data = rows[name];
    return [name, { shape: [count, data.length / count], data }];
  }));
}

function concatenated(arrays: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}
