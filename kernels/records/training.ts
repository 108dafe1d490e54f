/**
 * Encoding of the records of a training step; see training.wgsl.
 *
 * @module
 */
import { HOPELESS, LogRecordLayout, ScheduleRowLayout, VarianceRowLayout } from "./layouts.ts";
import { countRecords, decodeRecord, encodeRecord, type RecordValues } from "./record.ts";

/** Coefficients by noise level, arrays of the same length; computed in `lib/diffusion/objective.ts`. */
export type ScheduleTables = {
  readonly [F in keyof RecordValues<typeof ScheduleRowLayout>]: ArrayLike<number>;
};

/** Encodes the schedule buffer: one row per noise level. */
export function encodeScheduleTables(tables: ScheduleTables): Float32Array<ArrayBuffer> {
  const levels = tables.signal.length;
  const rows = new ArrayBuffer(ScheduleRowLayout.bytes * levels);
  for (let t = 0; t < levels; t++) {
    const row = {
      timestep: tables.timestep[t],
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

/** Rows of the loss of a learned variance, one per noise level; computed in `lib/diffusion/learned_variance.ts`. */
export type VarianceRow = RecordValues<typeof VarianceRowLayout>;

/** Encodes the buffer of the loss of a learned variance. */
export function encodeVarianceRows(rows: readonly VarianceRow[]): Float32Array<ArrayBuffer> {
  const encoded = new ArrayBuffer(VarianceRowLayout.bytes * rows.length);
  for (const [t, row] of rows.entries()) encodeRecord(VarianceRowLayout, row, encoded, t);
  return new Float32Array(encoded);
}

/**
 * Log record of an optimizer step or a validation batch. `lossSum` is the sum of the weighted per-sample losses: the mean
 * over any number of records is the sum of `lossSum` divided by that of `count`. Validation has gradient norm 0.
 */
export interface LoggedStep extends Omit<RecordValues<typeof LogRecordLayout>, "nonFinite"> {
  /** Skipped step: loss or gradients were not finite. */
  readonly nonFinite: boolean;
  /** In float16: all further steps are skipped, after too many consecutive non-finite steps at the smallest loss scale. */
  readonly hopeless: boolean;
}

/** Decodes the records of a log buffer, slot 0 first. */
export function decodeLog(bytes: ArrayBuffer): LoggedStep[] {
  return Array.from({ length: countRecords(LogRecordLayout, bytes) }, (_, slot) => {
    const { nonFinite, ...record } = decodeRecord(LogRecordLayout, bytes, slot);
    return { ...record, nonFinite: nonFinite !== 0, hopeless: nonFinite === HOPELESS };
  });
}
