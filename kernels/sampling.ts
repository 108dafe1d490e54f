/**
 * Records that the kernels of a sampling step share, as the CPU writes them; twin of sampling.wgsl.
 *
 * @module
 */

/** Bytes of one slot. */
export const SLOT_BYTES = 28;

/** Bytes of one row of a plan. */
export const PLAN_ROW_BYTES = 32;

/** One place in the batch, and the image that is being drawn there. */
export interface Slot {
  /** Step of this image's own trajectory, from 0. At 0 the slot's `x` is replaced by the image's initial noise. */
  readonly step: number;
  /** Row of the plan buffer for this step. */
  readonly row: number;
  /** Low word of the image's seed. */
  readonly seedLo: number;
  /** High word of the image's seed. */
  readonly seedHi: number;
  /** Class index, or the number of classes for no class. */
  readonly label: number;
  /** Scale of classifier-free guidance; 1 is the plain conditional model. */
  readonly guidance: number;
}

/** The slots buffer. `undefined` is an idle slot. */
export function encodeSlots(
  slots: readonly (Slot | undefined)[],
  into: ArrayBuffer = new ArrayBuffer(SLOT_BYTES * slots.length),
): ArrayBuffer {
  const words = new Uint32Array(into);
  const floats = new Float32Array(into);
  slots.forEach((slot, i) => {
    const at = i * SLOT_BYTES / 4;
    words[at] = slot ? 1 : 0;
    if (!slot) return;
    words.set([slot.step, slot.row, slot.seedLo, slot.seedHi, slot.label], at + 1);
    floats[at + 6] = slot.guidance;
  });
  return into;
}

/** Coefficients of one step; `lib/diffusion/samplers` makes them and says what they mean. */
export interface PlanStep {
  readonly timestep: number;
  readonly x0FromX: number;
  readonly x0FromOut: number;
  readonly clip: number;
  readonly nextFromX0: number;
  readonly nextFromX: number;
  readonly nextFromOut: number;
  readonly sigma: number;
}

/** Rows of the plan buffer, one per step. Several trajectories may follow one another in one buffer. */
export function encodePlan(steps: readonly PlanStep[]): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(PLAN_ROW_BYTES / 4 * steps.length);
  steps.forEach((step, i) =>
    rows.set([
      step.timestep,
      step.x0FromX,
      step.x0FromOut,
      step.clip,
      step.nextFromX0,
      step.nextFromX,
      step.nextFromOut,
      step.sigma,
    ], i * PLAN_ROW_BYTES / 4)
  );
  return rows;
}
