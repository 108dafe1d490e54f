/**
 * The dynamic loss scale of training in float16; see loss_scale.wgsl.
 *
 * @module
 */
import { LossScaleLayout } from "./records/layouts.ts";
import { decodeRecord, encodeRecord, type RecordValues } from "./records/record.ts";
import { type Launch, launch } from "./source.ts";
import { lossScaleKernel } from "./sources.ts";

/** What a run keeps of its loss scale from step to step: the device's record without the count of hopeless steps. */
export type LossScale = Omit<RecordValues<typeof LossScaleLayout>, "hopelessSteps">;

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
  return encodeRecord(LossScaleLayout, { ...state, hopelessSteps: 0 });
}

/** Reads the record. */
export function decodeLossScale(bytes: ArrayBuffer): LossScale {
  const { hopelessSteps: _, ...state } = decodeRecord(LossScaleLayout, bytes);
  return state;
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
  return [launch(lossScaleKernel, "update", params, { ...buffers }, [1, 1, 1])];
}
