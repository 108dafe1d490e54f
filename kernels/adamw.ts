/**
 * Launcher of `adamw.wgsl`: one optimizer step over all parameters.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { adamwKernel } from "./sources.ts";

/** Constant hyperparameters; learning rate, bias corrections and EMA decay are in the step state. */
export interface AdamWOptions {
  /** Floats in each flat buffer, a multiple of 4. */
  readonly elements: number;
  /** Decay of the first moment, 0 to 1. */
  readonly beta1: number;
  /** Decay of the second moment, 0 to 1. */
  readonly beta2: number;
  /** Added to the root of the second moment; above 0, since padding would divide 0 by 0. */
  readonly eps: number;
  /** Decoupled weight decay; 0 is Adam. */
  readonly weightDecay: number;
}

/** Buffers of {@linkcode adamw}: two records, and flat float32 buffers of the same length. */
export interface AdamWBuffers<B> {
  readonly step_state: B;
  /** `Health` record of `gradNormFinish`. */
  readonly health: B;
  readonly gradients: B;
  /** In and out. */
  readonly parameters: B;
  /** In and out; zeros before the first step. */
  readonly first_moment: B;
  /** In and out; zeros before the first step. */
  readonly second_moment: B;
  /** In and out; a copy of the parameters before the first step. */
  readonly ema: B;
}

/** Updates parameters, moments and EMA; does nothing if `health` marks the step as non-finite. */
export function adamw<B>(options: AdamWOptions, buffers: AdamWBuffers<B>): Launch<B>[] {
  const { elements, beta1, beta2, eps, weightDecay } = options;
  const blocks = elements / 4;
  const params = { blocks, rate1: 1 - beta1, beta2, rate2: 1 - beta2, eps, weight_decay: weightDecay };
  return [launch(adamwKernel, "adamw", params, { ...buffers }, grid1d(blocks, 64))];
}
