/** Step state for kernel tests, with harmless defaults. */
import { StepStateLayout } from "../../kernels/records/layouts.ts";
import { encodeRecord } from "../../kernels/records/record.ts";
import type { StepState } from "../../kernels/records/step_state.ts";

export function stepWords(state: Partial<StepState> = {}): Uint32Array {
  return new Uint32Array(encodeRecord(StepStateLayout, {
    step: 0,
    seedLo: 0,
    seedHi: 0,
    stream: 0,
    position: 0,
    count: 1,
    logSlot: 0,
    accumulate: 0,
    learningRate: 1e-3,
    biasCorrection1: 1,
    biasCorrection2: 1,
    emaDecay: 0,
    ...state,
  }));
}

/** Packs bytes into u32 words, zero-padded. */
export function packBytes(bytes: Uint8Array): Uint32Array {
  const padded = new Uint8Array(4 * Math.ceil(bytes.length / 4));
  padded.set(bytes);
  return new Uint32Array(padded.buffer);
}
