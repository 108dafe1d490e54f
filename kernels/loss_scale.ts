/**
 * The dynamic loss scale of training in float16; see loss_scale.wgsl.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { loss_scale as kernel } from "./sources.ts";

/** What a run keeps of its loss scale from step to step. */
export interface LossScale {
  /** What the loss is multiplied by before it is differentiated, a power of two. */
  readonly scale: number;
  /** Steps since it was last changed. */
  readonly goodSteps: number;
  /** Steps in all whose gradients were not finite, and that were left out. */
  readonly skippedSteps: number;
  /** 1 - beta1^t, t being the steps that were not left out. */
  readonly biasCorrection1: number;
  /** 1 - beta2^t. */
  readonly biasCorrection2: number;
}

/** Bytes of the device's record. */
export const LOSS_SCALE_BYTES = 24;

/** Where it starts: what common implementations start with. */
export const INITIAL_LOSS_SCALE = 2 ** 16;

/** Where it ends, as in loss_scale.wgsl: a loss that is not scaled. */
export const SMALLEST_LOSS_SCALE = 1;

/** Good steps in a row after which the scale doubles, as in the paper. */
export const GROWTH_INTERVAL = 2000;

/** Steps in a row left out at the smallest scale, after which it is not the scale's fault. */
export const HOPELESS_STEPS = 10;

/** The state of a run that has taken so many steps without a loss scale. */
export function initialLossScale(
  { beta1, beta2 }: { readonly beta1: number; readonly beta2: number },
  steps = 0,
): LossScale {
  return {
    scale: INITIAL_LOSS_SCALE,
    goodSteps: 0,
    skippedSteps: 0,
    biasCorrection1: 1 - beta1 ** steps,
    biasCorrection2: 1 - beta2 ** steps,
  };
}

/** Writes the record; the count of hopeless steps starts at 0. */
export function encodeLossScale(state: LossScale): ArrayBuffer {
  const bytes = new ArrayBuffer(LOSS_SCALE_BYTES);
  const [words, floats] = [new Uint32Array(bytes), new Float32Array(bytes)];
  floats[0] = state.scale;
  words.set([state.goodSteps, state.skippedSteps, 0], 1);
  floats.set([state.biasCorrection1, state.biasCorrection2], 4);
  return bytes;
}

/** Reads the record. */
export function decodeLossScale(bytes: ArrayBuffer): LossScale {
  const [words, floats] = [new Uint32Array(bytes), new Float32Array(bytes)];
  return {
    scale: floats[0],
    goodSteps: words[1],
    skippedSteps: words[2],
    biasCorrection1: floats[4],
    biasCorrection2: floats[5],
  };
}

/** What stays the same from step to step. */
export interface LossScaleOptions {
  /** Largest norm that is left unclipped; 0 clips nothing. */
  readonly maxNorm: number;
  readonly beta1: number;
  readonly beta2: number;
  /** Good steps after which the scale doubles. Default {@linkcode GROWTH_INTERVAL}. */
  readonly growthInterval?: number;
  /** Steps in a row that may be left out at the smallest scale; 0 for any number. */
  readonly hopelessSteps: number;
}

/** Buffers of {@linkcode updateLossScale}, all in and out. */
export interface LossScaleBuffers<B> {
  /** Gets the bias corrections of the good steps. */
  readonly step_state: B;
  /** From `gradNormFinish`, of the scaled gradients and not sticky. */
  readonly health: B;
  readonly train_log: B;
  /** From {@linkcode encodeLossScale} before the first step. */
  readonly loss_scale: B;
}

/** Tells the optimizer how to take the scale out of the gradients, and changes it for the next step. */
export function updateLossScale<B>(options: LossScaleOptions, buffers: LossScaleBuffers<B>): Launch<B>[] {
  const { maxNorm, beta1, beta2, growthInterval = GROWTH_INTERVAL, hopelessSteps } = options;
  const params = {
    ...{ max_norm: maxNorm, beta1, rate1: 1 - beta1, beta2, rate2: 1 - beta2 },
    ...{ growth_interval: growthInterval, hopeless_limit: hopelessSteps },
  };
  return [launch(kernel, "update", params, { ...buffers }, [1, 1, 1])];
}
