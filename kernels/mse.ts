/**
 * Launchers of `mse.wgsl`: training loss, its gradient and its log record.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { mseKernel } from "./sources.ts";

/** Shape of the prediction. */
export interface MseShape {
  readonly batch: number;
  /** `H * W`. */
  readonly pixels: number;
  /** Channels without padding. */
  readonly channels: number;
  /** 1 / micro-batches per optimizer step; default 1. */
  readonly gradientScale?: number;
}

/** Inputs of both passes of the loss. */
export interface MseInputs<B> {
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
export function mseForward<B>(
  shape: MseShape,
  buffers: MseInputs<B> & { readonly loss_per_sample: B },
  label = "mse",
): Launch<B>[] {
  return [launch(mseKernel, "forward", paramsOf(shape), { ...buffers }, [shape.batch, 1, 1], { label })];
}

/**
 * Gradient of the batch's mean loss with respect to the prediction.
 *
 * @param buffers the inputs and, with float16 activations, `loss_scale` from `encodeLossScale`, a factor on the gradient;
 *   out: `gradient` `[N, H, W, Cp]`
 */
export function mseBackward<B>(
  shape: MseShape,
  buffers: MseInputs<B> & { readonly gradient: B; readonly loss_scale?: B },
  label = "mse gradient",
): Launch<B>[] {
  const entry = buffers.loss_scale === undefined ? "backward" : "backward_scaled";
  const params = paramsOf(shape);
  return [
    launch(mseKernel, entry, params, { ...buffers }, grid1d(params.batch * params.blocks, 64), { label }),
  ];
}

function paramsOf({ batch, pixels, channels, gradientScale = 1 }: MseShape) {
  const blocks = pixels * Math.ceil(channels / 4);
  return { batch, blocks, elements: pixels * channels, gradient_scale: gradientScale };
}

/** Buffers of {@linkcode recordLossForward}. */
export interface RecordLossBuffers<B> {
  readonly step_state: B;
  /** From {@linkcode mseForward}. */
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
  const params = { batch, blocks: 0, elements: 0, gradient_scale: 0 };
  return [launch(mseKernel, "record", params, { ...buffers }, [1, 1, 1], { label })];
}
