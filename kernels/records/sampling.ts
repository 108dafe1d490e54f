/**
 * Encoding of the records of a sampling step; see sampling.wgsl.
 *
 * @module
 */
import { NONE, RowLayout, SlotLayout } from "./layouts.ts";
import { encodeRecord, type RecordValues } from "./record.ts";

/** Coefficients of one sampler step; computed and documented in `lib/diffusion/samplers`. */
export type StepCoefficients = Pick<
  RecordValues<typeof SlotLayout>,
  | "timestep"
  | "initialNoise"
  | "x0FromX"
  | "x0FromOut"
  | "clip"
  | "nextFromX0"
  | "nextFromX"
  | "nextFromOut"
  | "nextFromH1"
  | "nextFromH2"
  | "sigma"
  | "logSigmaRange"
>;

/** Evaluation of the network for a slot. */
export interface SlotRow {
  /** Class index; the number of classes is the null label. */
  readonly label: number;
  /** Weight of its output in the slot's output. */
  readonly weight: number;
  /** Weight of its output in the conditional output, which has no guidance. */
  readonly conditional: number;
}

/** Occupied slot of the sampling batch: the next step of its image. */
export interface Slot {
  /** Step of the image's own trajectory, from 0. */
  readonly step: number;
  readonly coefficients: StepCoefficients;
  /** Low word of the image's seed. */
  readonly seedLo: number;
  /** High word of the image's seed. */
  readonly seedHi: number;
  /** Evaluations of the network, one or more; the slot's output is their weighted sum. */
  readonly rows: readonly SlotRow[];
  /** Evaluations of the guiding network, which are added; default none. */
  readonly guideRows?: readonly SlotRow[];
  /** Signal of the known image after the step; 0 (default), with the noise, for none. */
  readonly knownSignal?: number;
  /** Noise of the known image after the step. */
  readonly knownNoise?: number;
  /** Rescaling of the guided output to the standard deviation of the conditional one, 0 (none) to 1. */
  readonly rescale: number;
}

/** Which of a slot's networks rows belong to. */
export type RowsOf = "rows" | "guideRows";

/** Number of rows of a network's batch that slots take. */
export function rowCount(slots: readonly (Slot | undefined)[], of: RowsOf = "rows"): number {
  return slots.reduce((sum, slot) => sum + (slot?.[of]?.length ?? 0), 0);
}

/** Encodes the `slots` buffer; `undefined` is an idle slot. Rows are assigned in the order of the slots. */
export function encodeSlots(slots: readonly (Slot | undefined)[]): ArrayBuffer {
  const bytes = new ArrayBuffer(SlotLayout.bytes * slots.length); // zero: all idle
  let [firstRow, guideFirstRow] = [0, 0];
  slots.forEach((slot, i) => {
    if (!slot) return;
    const { coefficients, rows: { length: rows }, guideRows: { length: guideRows } = [], ...rest } = slot;
    const { knownSignal = 0, knownNoise = 0 } = slot;
    const assigned = { firstRow, rows, guideFirstRow, guideRows };
    encodeRecord(SlotLayout, { ...rest, ...coefficients, ...assigned, knownSignal, knownNoise }, bytes, i);
    firstRow += rows;
    guideFirstRow += guideRows;
  });
  return bytes;
}

/**
 * Encodes the `rows` buffer: slot, label and weights of each row of the network's batch.
 *
 * @param slots as for {@linkcode encodeSlots}
 * @param batch the network's batch; rows without a slot are idle
 * @param of whose rows
 */
export function encodeRows(
  slots: readonly (Slot | undefined)[],
  batch: number,
  of: RowsOf = "rows",
): ArrayBuffer {
  const bytes = new ArrayBuffer(RowLayout.bytes * batch);
  const rows = slots.flatMap((slot, i) => slot?.[of]?.map((row) => ({ ...row, slot: i })) ?? []);
  for (let r = 0; r < batch; r++) {
    const { label, ...row } = rows[r] ?? { slot: NONE, label: 0, weight: 0, conditional: 0 };
    encodeRecord(RowLayout, { ...row, classLabel: label }, bytes, r);
  }
  return bytes;
}
