/**
 * Encoding of the records of a sampling step; see sampling.wgsl.
 *
 * @module
 */
import { NONE, SlotLayout, WITHOUT_CLASS } from "./layouts.ts";
import { decodeRecord, encodeRecord, type RecordValues } from "./record.ts";

/** Coefficients of one sampler step; computed and documented in `lib/diffusion/samplers`. */
export type StepCoefficients = Pick<
  RecordValues<typeof SlotLayout>,
  | "timestep"
  | "x0FromX"
  | "x0FromOut"
  | "clip"
  | "nextFromX0"
  | "nextFromX"
  | "nextFromOut"
  | "sigma"
>;

/** Occupied slot of the sampling batch: the next step of its image. */
export interface Slot {
  /** Step of the image's own trajectory, from 0. At 0 the slot's `x` is set to the image's initial noise. */
  readonly step: number;
  readonly coefficients: StepCoefficients;
  /** Low word of the image's seed. */
  readonly seedLo: number;
  /** High word of the image's seed. */
  readonly seedHi: number;
  /** Class index; the number of classes is the null label. */
  readonly label: number;
  /** Scale of classifier-free guidance; used with an `unconditional` row only. */
  readonly guidance: number;
  /** Row of the network's batch that evaluates the image. */
  readonly conditional: number;
  /** Row that evaluates it without the class; undefined without guidance. */
  readonly unconditional?: number;
}

const IDLE = { ...decodeRecord(SlotLayout, new ArrayBuffer(SlotLayout.bytes)), conditional: NONE };

/** Encodes the `slots` buffer; `undefined` is an idle slot. */
export function encodeSlots(slots: readonly (Slot | undefined)[]): ArrayBuffer {
  const bytes = new ArrayBuffer(SlotLayout.bytes * slots.length);
  slots.forEach((slot, i) => encodeRecord(SlotLayout, slot ? slotValues(slot) : IDLE, bytes, i));
  return bytes;
}

function slotValues(
  { coefficients, unconditional = NONE, label, ...rest }: Slot,
): RecordValues<typeof SlotLayout> {
  return { ...rest, ...coefficients, unconditional, classLabel: label };
}

/**
 * Encodes the `asks` buffer: slot index and unconditional flag of each row of the network's batch.
 *
 * @param slots as for {@linkcode encodeSlots}
 * @param rows rows of the network's batch; rows without a slot are idle
 */
export function encodeAsks(slots: readonly (Slot | undefined)[], rows: number): Uint32Array<ArrayBuffer> {
  const asks = new Uint32Array(rows).fill(NONE);
  slots.forEach((slot, i) => {
    if (!slot) return;
    asks[slot.conditional] = i;
    if (slot.unconditional !== undefined) asks[slot.unconditional] = (WITHOUT_CLASS | i) >>> 0;
  });
  return asks;
}
