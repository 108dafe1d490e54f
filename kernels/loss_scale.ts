/**
 * Dynamic loss scaling for training in float16: state, and launcher of `loss_scale.wgsl`.
 *
 * @module
 */
import { LossScaleLayout } from "./records/layouts.ts";
import { decodeRecord, encodeRecord, type RecordValues } from "./records/record.ts";
import { type Launch, launch } from "./source.ts";
import { lossScaleKernel } from "./sources.ts";

/** State of loss scaling in checkpoints: the device's record without the count of hopeless steps. */
export type LossScale = Omit<RecordValues<typeof LossScaleLayout>, "hopelessSteps">;

/** Initial loss scale, as in common implementations. */
export const INITIAL_LOSS_SCALE = 2 ** 16;

/** Smallest loss scale, as in loss_scale.wgsl: an unscaled loss. */
export const SMALLEST_LOSS_SCALE = 1;

/** Consecutive good steps after which the scale doubles, as in the paper. */
export const GROWTH_INTERVAL = 2000;

/** Consecutive steps skipped at the smallest scale after which training stops: no scale can help. */
export const HOPELESS_STEPS = 10;

/** Initial state of a run, or of one that has taken `steps` steps without loss scaling. */
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

/** Encodes the device's record; the count of hopeless steps starts at 0. */
export function encodeLossScale(state: LossScale): ArrayBuffer {
  return encodeRecord(LossScaleLayout, { ...state, hopelessSteps: 0 });
}

/** Decodes the device's record. */
export function decodeLossScale(bytes: ArrayBuffer): LossScale {
  const { hopelessSteps: _, ...state } = decodeRecord(LossScaleLayout, bytes);
  return state;
}

/** Constant options of {@linkcode updateLossScale}. */
export interface LossScaleOptions {
  /** Norm above which gradients are clipped; 0 disables clipping. */
  readonly maxNorm: number;
  /** Adam's decay of the first moment, for its bias correction. */
  readonly beta1: number;
  /** Adam's decay of the second moment, for its bias correction. */
  readonly beta2: number;
  /** Good steps after which the scale doubles. Default {@linkcode GROWTH_INTERVAL}. */
  readonly growthInterval?: number;
  /** Consecutive skipped steps allowed at the smallest scale; 0 for any number. */
  readonly hopelessSteps: number;
}

/** Buffers of {@linkcode updateLossScale}, all in and out. */
export interface LossScaleBuffers<B> {
  /** Receives the bias corrections. */
  readonly step_state: B;
  /** From `gradNormFinish`, of the scaled gradients and not sticky. */
  readonly health: B;
  readonly train_log: B;
  /** From {@linkcode encodeLossScale} before the first step. */
  readonly loss_scale: B;
}

/** Folds the unscaling of gradients into the clipping factor, and updates the scale for the next step. */
export function updateLossScale<B>(options: LossScaleOptions, buffers: LossScaleBuffers<B>): Launch<B>[] {
  const { maxNorm, beta1, beta2, growthInterval = GROWTH_INTERVAL, hopelessSteps } = options;
  const params = {
    ...{ max_norm: maxNorm, beta1, rate1: 1 - beta1, beta2, rate2: 1 - beta2 },
    ...{ growth_interval: growthInterval, hopeless_limit: hopelessSteps },
  };
  return [launch(lossScaleKernel, "update", params, { ...buffers }, [1, 1, 1])];
}
