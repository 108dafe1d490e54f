/**
 * Launchers of `loss.wgsl`: training loss, its gradient and its log record.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { lossKernel } from "./sources.ts";

/** The largest float32, with which the loss is the squared error everywhere. */
export const NO_DELTA = 3.4028234663852886e38;

/** Shape of the prediction, and the loss. */
export interface LossShape {
  readonly batch: number;
  /** `H * W`. */
  readonly pixels: number;
  /** Channels without padding. */
  readonly channels: number;
  /** 1 / micro-batches per optimizer step; default 1. */
  readonly gradientScale?: number;
  /** End of the squared error, beyond which the loss is linear (Huber's loss), above 0; default {@linkcode NO_DELTA}. */
  readonly delta?: number;
}

/** Inputs of both passes of the loss. */
export interface LossInputs<B> {
  readonly step_state: B;
  /** From `drawBatchForward`. */
  readonly draws: B;
  /** From `encodeScheduleTables`. */
  readonly schedule: B;
  /** `[N, H, W, Cp]`, the network's output. */
  readonly prediction: B;
  /** `[N, H, W, Cp]`, from `qSampleForward`. */
  readonly targets: B;
}

/**
 * Loss per sample.
 *
 * @param buffers the inputs; out: `loss_per_sample` `[N]` f32
 */
export function lossForward<B>(
  shape: LossShape,
  buffers: LossInputs<B> & { readonly loss_per_sample: B },
  label = "loss",
): Launch<B>[] {
  return [launch(lossKernel, "forward", paramsOf(shape), { ...buffers }, [shape.batch, 1, 1], { label })];
}

/**
 * Gradient of the batch's mean loss with respect to the prediction.
 *
 * @param buffers the inputs and, with float16 activations, `loss_scale` from `encodeLossScale`, a factor on the gradient;
 *   out: `gradient` `[N, H, W, Cp]`
 */
export function lossBackward<B>(
  shape: LossShape,
  buffers: LossInputs<B> & { readonly gradient: B; readonly loss_scale?: B },
  label = "loss gradient",
): Launch<B>[] {
  const entry = buffers.loss_scale === undefined ? "backward" : "backward_scaled";
  const params = paramsOf(shape);
  return [
    launch(lossKernel, entry, params, { ...buffers }, grid1d(params.batch * params.blocks, 64), { label }),
  ];
}

function paramsOf({ batch, pixels, channels, gradientScale = 1, delta = NO_DELTA }: LossShape) {
  const blocks = pixels * Math.ceil(channels / 4);
  return { batch, blocks, elements: pixels * channels, gradient_scale: gradientScale, delta };
}

/** Buffers of {@linkcode recordLossForward}. */
export interface RecordLossBuffers<B> {
  readonly step_state: B;
  /** From {@linkcode lossForward}. */
  readonly loss_per_sample: B;
  /** In and out: `LogRecord` records; the step's `logSlot` is written. */
  readonly train_log: B;
}

/** Adds the batch's losses to the step's log record, to be read by `decodeLog`. */
export function recordLossForward<B>(
  batch: number,
  buffers: RecordLossBuffers<B>,
  label = "loss record",
): Launch<B>[] {
  const params = { batch, blocks: 0, elements: 0, gradient_scale: 0, delta: 0 };
  return [launch(lossKernel, "record", params, { ...buffers }, [1, 1, 1], { label })];
}
