/**
 * Records that the kernels of a training step share; see training.wgsl.
 *
 * @module
 */
import { HOPELESS, LogRecordLayout, ScheduleRowLayout } from "./layouts.ts";
import { countRecords, decodeRecord, encodeRecord, type RecordValues } from "./record.ts";

/** Per-timestep tables, each of the same length `T`; `lib/diffusion/objective.ts` makes them. */
export type ScheduleTables = {
  readonly [F in keyof RecordValues<typeof ScheduleRowLayout>]: ArrayLike<number>;
};

/** The schedule buffer: one row per timestep. */
export function encodeScheduleTables(tables: ScheduleTables): Float32Array<ArrayBuffer> {
  const timesteps = tables.signal.length;
  const rows = new ArrayBuffer(ScheduleRowLayout.bytes * timesteps);
  for (let t = 0; t < timesteps; t++) {
    const row = {
      signal: tables.signal[t],
      noise: tables.noise[t],
      targetFromX0: tables.targetFromX0[t],
      targetFromNoise: tables.targetFromNoise[t],
      weight: tables.weight[t],
    };
    encodeRecord(ScheduleRowLayout, row, rows, t);
  }
  return new Float32Array(rows);
}

/**
 * What one optimizer step, or one validation batch, left in the log buffer. `lossSum` is the sum of the weighted per-sample
 * losses: divided by `count`, also over many records, it is the mean. The gradient norm is 0 where no optimizer ran.
 */
export interface LoggedStep extends Omit<RecordValues<typeof LogRecordLayout>, "nonFinite"> {
  /** Loss or gradients were not finite, and nothing was updated. */
  readonly nonFinite: boolean;
  /** In float16: nothing will be updated any more, since many steps in a row were not finite whatever the loss scale. */
  readonly hopeless: boolean;
}

/** The records of a log buffer, slot 0 first. */
export function decodeLog(bytes: ArrayBuffer): LoggedStep[] {
  return Array.from({ length: countRecords(LogRecordLayout, bytes) }, (_, slot) => {
    const { nonFinite, ...record } = decodeRecord(LogRecordLayout, bytes, slot);
    return { ...record, nonFinite: nonFinite !== 0, hopeless: nonFinite === HOPELESS };
  });
}
