/**
 * Results of long computations over many images, kept in files: whole, and part by part while they are under way.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { readModelFile } from "../files/checkpoint_files.ts";
import { exists, writeDurable } from "../files/durable.ts";
import type { SafeTensor } from "../files/dtypes.ts";
import { decodeWeights, encodeWeights, type StateTensor } from "../files/weights.ts";

/** Tensors of a file; undefined for a missing or damaged one, which is computed again. */
export async function readKept(path: string): Promise<ReadonlyMap<string, SafeTensor> | undefined> {
  if (!await exists(path)) return undefined;
  try {
    return decodeWeights(await readModelFile(path), path).tensors;
  } catch (error) {
    if (error instanceof CheckpointError) return undefined;
    throw error;
  }
}

/**
 * Writes a file of tensors.
 *
 * @throws {CheckpointError} if that fails
 */
export async function writeKept(path: string, tensors: Readonly<Record<string, StateTensor>>): Promise<void> {
  await writeDurable(path, encodeWeights(new Map(Object.entries(tensors))));
}

/** Removes the parts of a result that is kept as a whole; another process may have done so. */
export async function removeParts(directory: string): Promise<void> {
  try {
    await Deno.remove(directory, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

type Rows = Readonly<Record<string, Float32Array<ArrayBuffer>>>;

/** Named arrays, each with a row for every image. */
type RowsOf<R> = { readonly [Name in keyof R]: Float32Array<ArrayBuffer> };

/**
 * Computes rows for images part by part, and keeps each part, so that a computation that was interrupted goes on with the part it
 * was in.
 *
 * @param directory for the parts; see {@linkcode removeParts}
 * @param sizes images in all, and in a part
 * @param compute rows of the images from `first` up to `last`
 * @param onPart called with the number of images done, also of parts that were kept
 * @throws {CheckpointError} if a part cannot be written
 */
export async function keptParts<R extends RowsOf<R>>(
  directory: string,
  { count, part }: { readonly count: number; readonly part: number },
  compute: (first: number, last: number) => Promise<R>,
  onPart?: (done: number) => void | Promise<void>,
): Promise<R> {
  const parts: Rows[] = [];
  for (let first = 0; first < count; first += part) {
    const last = Math.min(count, first + part);
    const path = join(directory, `${String(first).padStart(8, "0")}.safetensors`);
    const kept = rowsOf(await readKept(path), last - first);
    const rows: Rows = kept ?? { ...await compute(first, last) };
    if (!kept) await writeKept(path, tensorsOf(rows, last - first));
    await onPart?.(last);
    parts.push(rows);
  }
  const names = Object.keys(parts[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, concatenated(parts.map((rows) => rows[name]!))]),
  ) as unknown as R;
}

/** Arrays of a kept part; undefined without one, or if it has another number of rows, from parts of another size. */
function rowsOf(tensors: ReadonlyMap<string, SafeTensor> | undefined, count: number): Rows | undefined {
  if (!tensors) return undefined;
  const rows = [...tensors];
  return rows.every(([, { shape, data }]) => shape[0] === count && data instanceof Float32Array)
    ? Object.fromEntries(rows.map(([name, { data }]) => [name, data])) as Rows
    : undefined;
}

function tensorsOf(rows: Rows, count: number): Record<string, StateTensor> {
  return Object.fromEntries(
    Object.entries(rows).map(([name, data]) => [name, { shape: [count, data.length / count], data }]),
  );
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
