/**
 * Launchers of `hybrid_loss.wgsl`: training loss of a network with a learned variance, and its gradient.
 *
 * @module
 */
import { NO_DELTA } from "./loss.ts";
import { grid1d, type Launch, launch } from "./source.ts";
import { hybridLossKernel } from "./sources.ts";

/** Shape of the images, and the loss. */
export interface HybridLossShape {
  readonly batch: number;
  /** `H * W`. */
  readonly pixels: number;
  /** Channels of the images; the prediction has twice as many. */
  readonly channels: number;
  /** 1 / micro-batches per optimizer step; default 1. */
  readonly gradientScale?: number;
  /** End of the squared error in Huber's loss, above 0; default {@linkcode NO_DELTA}. */
  readonly delta?: number;
  /** Weight of the variational bound, in nats per channel of a pixel and timestep. */
  readonly boundScale: number;
}

/** Inputs of both passes of the loss. */
export interface HybridLossInputs<B> {
  readonly step_state: B;
  /** From `drawBatchForward`. */
  readonly draws: B;
  /** From `encodeVarianceRows`. */
  readonly variances: B;
  /** `[N, H, W, 2 C padded]`, the network's output. */
  readonly prediction: B;
  /** `[N, H, W, Cp]`, from `qSampleForward`. */
  readonly targets: B;
  /** `[N, H, W, Cp]`, from `qSampleForward`. */
  readonly x_t: B;
}

/**
 * Loss per sample.
 *
 * @param buffers the inputs; out: `loss_per_sample` `[N]` f32
 */
export function hybridLossForward<B>(
  shape: HybridLossShape,
  buffers: HybridLossInputs<B> & { readonly loss_per_sample: B },
  label = "hybrid loss",
): Launch<B>[] {
  return [
    launch(hybridLossKernel, "forward", paramsOf(shape), { ...buffers }, [shape.batch, 1, 1], { label }),
  ];
}

/**
 * Gradient of the batch's mean loss with respect to the prediction.
 *
 * @param buffers the inputs and, with float16 activations, `loss_scale` from `encodeLossScale`, a factor on the gradient;
 *   out: `gradient` `[N, H, W, 2 C padded]`
 */
export function hybridLossBackward<B>(
  shape: HybridLossShape,
  buffers: HybridLossInputs<B> & { readonly gradient: B; readonly loss_scale?: B },
  label = "hybrid loss gradient",
): Launch<B>[] {
  const entry = buffers.loss_scale === undefined ? "backward" : "backward_scaled";
  const workgroups = grid1d(shape.batch * shape.pixels, 64);
  return [launch(hybridLossKernel, entry, paramsOf(shape), { ...buffers }, workgroups, { label })];
}

function paramsOf(
  { batch, pixels, channels, gradientScale = 1, delta = NO_DELTA, boundScale }: HybridLossShape,
) {
  return { batch, pixels, channels, gradient_scale: gradientScale, delta, bound_scale: boundScale };
}
