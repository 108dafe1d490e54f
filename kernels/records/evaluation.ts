/**
 * Encoding of the records of an evaluation; see evaluation.wgsl.
 *
 * @module
 */
import { DenoisingErrorLayout, NoisedRowLayout, UNUSED_ROW } from "./layouts.ts";
import { countRecords, decodeRecord, encodeRecord, type RecordValues } from "./record.ts";

/** An image at a noise level; coefficients are computed in `lib/sampling/denoising_pass.ts`. */
export type NoisedRow = RecordValues<typeof NoisedRowLayout>;

/** Mean squared errors of the network on one image at one level. */
export interface DenoisingError {
  /** Of the network's output against its target. */
  readonly targetError: number;
  /** Of the clipped estimate of `x_0`. */
  readonly x0Error: number;
  /** Of the clipped estimate of `x_0`, over the ratio of the variances of p and q. */
  readonly boundError: number;
  /** `(ln r + 1 / r - 1) / 2` for the ratio `r` of those variances. */
  readonly varianceTerm: number;
}

const UNUSED = {
  ...decodeRecord(NoisedRowLayout, new ArrayBuffer(NoisedRowLayout.bytes)),
  result: UNUSED_ROW,
};

/**
 * Encodes the `rows` buffer.
 *
 * @param count rows of the network's batch; those that are not given are unused
 */
export function encodeNoisedRows(rows: readonly NoisedRow[], count: number): ArrayBuffer {
  const bytes = new ArrayBuffer(NoisedRowLayout.bytes * count);
  for (let i = 0; i < count; i++) encodeRecord(NoisedRowLayout, rows[i] ?? UNUSED, bytes, i);
  return bytes;
}

/** Decodes the `errors` buffer. */
export function decodeDenoisingErrors(bytes: ArrayBuffer): DenoisingError[] {
  return Array.from(
    { length: countRecords(DenoisingErrorLayout, bytes) },
    (_, i) => decodeRecord(DenoisingErrorLayout, bytes, i),
  );
}
