/**
 * Launchers of `cross_entropy.wgsl`: a classifier's loss and its gradient.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { crossEntropyKernel } from "./sources.ts";

/** Shape of the logits. */
export interface CrossEntropyShape {
  readonly batch: number;
  readonly classes: number;
  /** Probability that is spread evenly over all classes, from 0 to 1. */
  readonly smoothing: number;
  /** 1 / micro-batches per optimizer step; default 1. */
  readonly gradientScale?: number;
}

/** Inputs of both passes of the loss. */
export interface CrossEntropyInputs<B> {
  readonly step_state: B;
  /** `[N, Kp]`, the network's output. */
  readonly logits: B;
  /** `[N]` u32, below the number of classes. */
  readonly labels: B;
}

/**
 * Loss per sample.
 *
 * @param buffers the inputs; out: `loss_per_sample` `[N]` f32
 */
export function crossEntropyForward<B>(
  shape: CrossEntropyShape,
  buffers: CrossEntropyInputs<B> & { readonly loss_per_sample: B },
  label = "cross-entropy",
): Launch<B>[] {
  return [launch(crossEntropyKernel, "forward", paramsOf(shape), { ...buffers }, groupsOf(shape), { label })];
}

/**
 * Gradient of the batch's mean loss with respect to the logits.
 *
 * @param buffers the inputs and, with float16 activations, `loss_scale` from `encodeLossScale`, a factor on the gradient;
 *   out: `gradient` `[N, Kp]`
 */
export function crossEntropyBackward<B>(
  shape: CrossEntropyShape,
  buffers: CrossEntropyInputs<B> & { readonly gradient: B; readonly loss_scale?: B },
  label = "cross-entropy gradient",
): Launch<B>[] {
  const entry = buffers.loss_scale === undefined ? "backward" : "backward_scaled";
  return [launch(crossEntropyKernel, entry, paramsOf(shape), { ...buffers }, groupsOf(shape), { label })];
}

function paramsOf({ batch, classes, smoothing, gradientScale = 1 }: CrossEntropyShape) {
  return { batch, classes, quads: Math.ceil(classes / 4), smoothing, gradient_scale: gradientScale };
}

function groupsOf({ batch }: CrossEntropyShape): [number, number, number] {
  return [Math.ceil(batch / 64), 1, 1];
}
