/**
 * The TypeScript twin of formula.py: weights and inputs of the golden cases, computed rather than stored.
 *
 * @module
 */

import { threefry4x32, type Words4 } from "../../lib/random.ts";

/** Digest of a tensor: see `digest` in formula.py. */
export interface Digest {
  /** Shape in PyTorch's layout: NCHW for activations, OIHW for kernels, [out, in] for matrices. */
  readonly shape: number[];
  readonly sum: number;
  /** L2 norm. */
  readonly norm: number;
  /** Largest magnitude. */
  readonly max: number;
  /** All elements if there are fewer than 256, else those that {@link digestIndices} names, in row-major order. */
  readonly values: number[];
}

/** value(case, name, 0 … count - 1) of formula.py: uniform in [-1, 1), exact in float32. */
export function goldenValues(caseName: string, name: string, count: number): Float64Array {
  const values = new Float64Array(count);
  const nameWord = fnv1a(name);
  const caseWord = fnv1a(caseName);
  let words: Words4 = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    if (i % 4 === 0) words = threefry4x32([i / 4, nameWord, caseWord, 0], [0, 0]);
    values[i] = (words[i % 4] >>> 8) * 2 ** -23 - 1;
  }
  return values;
}

/** `offset + scale * value` in float64, rounded once to float32. */
export function goldenScaled(
  caseName: string,
  name: string,
  count: number,
  scale: number,
  offset = 0,
): Float32Array<ArrayBuffer> {
  return Float32Array.from(goldenValues(caseName, name, count), (value) => offset + scale * value);
}

/**
 * A parameter of a golden network in PyTorch's layout: norm weights `1 + 0.3 v`, biases `0.2 v`, matrices, kernels and
 * embeddings `sqrt(3 / fan_in) v` with `fan_in` the product of all dimensions but the first.
 */
export function goldenParameter(
  caseName: string,
  name: string,
  shape: readonly number[],
): Float32Array<ArrayBuffer> {
  const count = shape.reduce((product, size) => product * size, 1);
  if (shape.length > 1) return goldenScaled(caseName, name, count, Math.sqrt(3 / (count / shape[0])));
  return name.endsWith(".bias")
    ? goldenScaled(caseName, name, count, 0.2)
    : goldenScaled(caseName, name, count, 0.3, 1);
}

/** Indices of a digest's `values`, in row-major order of PyTorch's layout. */
export function digestIndices(digest: Digest): number[] {
  const size = digest.shape.reduce((product, length) => product * length, 1);
  return digest.values.map((_, k) => size === digest.values.length ? k : k * 7919 % size);
}

/** 32-bit FNV-1a of the UTF-8 bytes. */
function fnv1a(text: string): number {
  let state = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) state = Math.imul(state ^ byte, 0x01000193);
  return state >>> 0;
}
