/** The ways in which activations lie in memory, for tests that run in each of them. */
import type { Launch } from "../../kernels/source.ts";
import { storedIn } from "../../kernels/storage.ts";
import type { Tolerance } from "./close.ts";
import { type HostArray, runOnArrays, testGpu } from "./gpu.ts";

export interface Storage {
  /** For names of tests: empty for float32. */
  readonly suffix: string;
  readonly half: boolean;
  /** Values as they are stored; operands are rounded so before a reference sees them. */
  rounded(values: ArrayLike<number>): Float64Array;
  /** Values for the device. */
  array(values: ArrayLike<number>): HostArray;
  /** Room for so many values; NaN until it is written. */
  room(count: number): HostArray;
  /** What a result may be off by that float32 arithmetic gave and that was stored: half a unit in the last place of it. */
  stored(arithmetic: Tolerance): Tolerance;
  /** Runs launches with the kernels for this storage. */
  run(launches: Launch<HostArray>[]): Promise<void>;
}

function storage(half: boolean): Storage {
  const Stored = half ? Float16Array : Float32Array;
  return {
    suffix: half ? " in float16" : "",
    half,
    rounded: (values) => Float64Array.from(Stored.from(values)),
    array: (values) => Stored.from(values),
    room: (count) => new Stored(count).fill(NaN),
    stored: ({ absolute, relative = 0 }) => ({ absolute, relative: relative + (half ? 2 ** -11 : 0) }),
    run: async (launches) => runOnArrays(await testGpu(), storedIn(half, launches)),
  };
}

export const FLOAT32: Storage = storage(false);
export const FLOAT16: Storage = storage(true);
export const STORAGES: readonly Storage[] = [FLOAT32, FLOAT16];
