/**
 * Records that the kernels of a sampling step share, as the CPU writes them; see sampling.wgsl.
 *
 * @module
 */
import { NONE, SlotLayout, WITHOUT_CLASS } from "./layouts.ts";
import { decodeRecord, encodeRecord, type RecordValues } from "./record.ts";

/** Coefficients of one step of one trajectory; `lib/diffusion/samplers` makes them and says what they mean. */
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

/** One place in the batch, and what is next for the image that is being drawn there. */
export interface Slot {
  /** Step of this image's own trajectory, from 0. At 0 the slot's `x` is replaced by the image's initial noise. */
  readonly step: number;
  readonly coefficients: StepCoefficients;
  /** Low word of the image's seed. */
  readonly seedLo: number;
  /** High word of the image's seed. */
  readonly seedHi: number;
  /** Class index, or the number of classes for no class. */
  readonly label: number;
  /** Scale of classifier-free guidance; used where there is an `unconditional` row. */
  readonly guidance: number;
  /** Row of the network's batch that is asked about the image. */
  readonly conditional: number;
  /** Row that is asked without its class; undefined for the plain conditional model. */
  readonly unconditional?: number;
}

const IDLE = { ...decodeRecord(SlotLayout, new ArrayBuffer(SlotLayout.bytes)), conditional: NONE };

/** The slots buffer. `undefined` is an idle slot. */
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
 * The `asks` buffer: for each row of the network's batch the slot that it is about, and whether without its class.
 *
 * @param slots as for {@linkcode encodeSlots}
 * @param rows rows of the network's batch; those that no slot names are idle
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
