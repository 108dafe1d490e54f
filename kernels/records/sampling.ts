/**
 * Records that the kernels of a sampling step share, as the CPU writes them; twin of sampling.wgsl.
 *
 * @module
 */

/** Bytes of one slot. */
export const SLOT_BYTES = 60;

/** Stands for no row of the network's batch, and for no slot. */
const NONE = 0xffffffff;
const WITHOUT_CLASS = 0x80000000;

/** Coefficients of one step of one trajectory; `lib/diffusion/samplers` makes them and says what they mean. */
export interface StepCoefficients {
  readonly timestep: number;
  readonly x0FromX: number;
  readonly x0FromOut: number;
  readonly clip: number;
  readonly nextFromX0: number;
  readonly nextFromX: number;
  readonly nextFromOut: number;
  readonly sigma: number;
}

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

/** The slots buffer. `undefined` is an idle slot. */
export function encodeSlots(slots: readonly (Slot | undefined)[]): ArrayBuffer {
  const bytes = new ArrayBuffer(SLOT_BYTES * slots.length);
  const words = new Uint32Array(bytes);
  const floats = new Float32Array(bytes);
  slots.forEach((slot, i) => {
    const at = i * SLOT_BYTES / 4;
    if (!slot) {
      words[at] = NONE;
      return;
    }
    const { conditional, unconditional = NONE, step, seedLo, seedHi, label, guidance, coefficients: c } =
      slot;
    words.set([conditional, unconditional, step, seedLo, seedHi, label], at);
    floats.set([guidance, c.timestep, c.x0FromX, c.x0FromOut, c.clip], at + 6);
    floats.set([c.nextFromX0, c.nextFromX, c.nextFromOut, c.sigma], at + 11);
  });
  return bytes;
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
