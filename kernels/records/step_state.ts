/**
 * The small buffer that carries everything which changes from step to step; twin of step_state.wgsl.
 *
 * @module
 */

/** Fields of the step buffer; see step_state.wgsl for their meaning. */
export interface StepState {
  step: number;
  seedLo: number;
  seedHi: number;
  stream: number;
  position: number;
  count: number;
  logSlot: number;
  accumulate: boolean;
  learningRate: number;
  biasCorrection1: number;
  biasCorrection2: number;
  emaDecay: number;
}

/** Size of the step buffer in bytes. */
export const STEP_STATE_BYTES = 48;

/** Streams that keep the random numbers of one seed apart. */
export const STREAM: Readonly<Record<"training" | "validation" | "sampling", number>> = {
  training: 0,
  validation: 1,
  sampling: 2,
};

/** Writes a step's fields in the layout the kernels read. */
export function encodeStepState(
  state: StepState,
  into: ArrayBuffer = new ArrayBuffer(STEP_STATE_BYTES),
): ArrayBuffer {
  const words = new Uint32Array(into);
  const floats = new Float32Array(into);
  words.set([
    state.step,
    state.seedLo,
    state.seedHi,
    state.stream,
    state.position,
    state.count,
    state.logSlot,
    state.accumulate ? 1 : 0,
  ]);
  floats.set([state.learningRate, state.biasCorrection1, state.biasCorrection2, state.emaDecay], 8);
  return into;
}
