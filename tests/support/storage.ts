/** Storage formats of activations, for tests that run in each of them. */
import type { Launch } from "../../kernels/source.ts";
import { storedIn } from "../../kernels/storage.ts";
import type { Tolerance } from "./close.ts";
import { type HostArray, runOnArrays, testGpu } from "./gpu.ts";

export interface Storage {
  /** Suffix for test names; empty for float32. */
  readonly suffix: string;
  readonly half: boolean;
  /** Values rounded to the storage format, for operands of a reference. */
  rounded(values: ArrayLike<number>): Float64Array;
  /** Array for the device. */
  array(values: ArrayLike<number>): HostArray;
  /** Array of NaN for results. */
  empty(count: number): HostArray;
  /** Tolerance of stored results of float32 arithmetic: adds half a unit in the last place of the storage format. */
  stored(arithmetic: Tolerance): Tolerance;
  /** Runs launches with the kernels for this format. */
  run(launches: Launch<HostArray>[]): Promise<void>;
}

function storage(half: boolean): Storage {
  const Stored = half ? Float16Array : Float32Array;
  return {
    suffix: half ? " in float16" : "",
    half,
    rounded: (values) => Float64Array.from(Stored.from(values)),
    array: (values) => Stored.from(values),
    empty: (count) => new Stored(count).fill(NaN),
    stored: ({ absolute, relative = 0 }) => ({ absolute, relative: relative + (half ? 2 ** -11 : 0) }),
    run: async (launches) => void await runOnArrays(await testGpu(), storedIn(half, launches)),
  };
}

export const FLOAT32: Storage = storage(false);
export const FLOAT16: Storage = storage(true);
export const STORAGES: readonly Storage[] = [FLOAT32, FLOAT16];
