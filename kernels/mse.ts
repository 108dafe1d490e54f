/**
 * The training loss, its gradient and its record; see mse.wgsl.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { mse as kernel } from "./sources.ts";

/** Shape of the prediction. */
export interface MseShape {
  readonly batch: number;
  /** `H * W`. */
  readonly pixels: number;
  /** Channels without padding; what the mean counts. */
  readonly channels: number;
  /** 1 / micro-batches per optimizer step; default 1. */
  readonly gradientScale?: number;
}

/** Buffers of {@linkcode mse}. */
export interface MseBuffers<B> {
  readonly step_state: B;
  /** From `drawBatch`. */
  readonly draws: B;
  /** From `encodeScheduleTables`. */
  readonly schedule: B;
  /** `[N, H, W, Cp]`, the network's output. */
  readonly prediction: B;
  /** `[N, H, W, Cp]`, from `qSample`. */
  readonly targets: B;
  /** Out: `[N]` f32. */
  readonly loss_per_sample: B;
  /** Out: `[N, H, W, Cp]`, d loss / d prediction; left out for validation. */
  readonly gradient?: B;
  /** From `encodeLossScale`: what the gradient is multiplied by; left out in float32. */
  readonly loss_scale?: B;
}

/** The loss of each sample and, where a buffer for it is given, the gradient of the batch's mean loss. */
export function mse<B>(shape: MseShape, buffers: MseBuffers<B>): Launch<B>[] {
  const { batch, pixels, channels, gradientScale = 1 } = shape;
  const { step_state, draws, schedule, prediction, targets, loss_per_sample, gradient, loss_scale } = buffers;
  const blocks = pixels * Math.ceil(channels / 4);
  const params = { batch, blocks, elements: pixels * channels, gradient_scale: gradientScale };
  const inputs = { step_state, draws, schedule, prediction, targets };
  const launches: Launch<B>[] = [
    launch(kernel, "forward", params, { ...inputs, loss_per_sample }, [batch, 1, 1]),
  ];
  if (gradient !== undefined) {
    const entry = loss_scale === undefined ? "backward" : "backward_scaled";
    const outputs = { ...inputs, gradient, loss_scale };
    launches.push(launch(kernel, entry, params, outputs, grid1d(batch * blocks, 64)));
  }
  return launches;
}

/** Buffers of {@linkcode recordLoss}. */
export interface RecordLossBuffers<B> {
  readonly step_state: B;
  /** From {@linkcode mse}. */
  readonly loss_per_sample: B;
  /** In and out: `LogRecord` records; the step's `logSlot` is written. */
  readonly train_log: B;
}

/** Adds the batch's losses up into the step's log record; `decodeLog` reads it. */
export function recordLoss<B>(batch: number, buffers: RecordLossBuffers<B>): Launch<B>[] {
  const params = { batch, blocks: 0, elements: 0, gradient_scale: 0 };
  return [launch(kernel, "record", params, { ...buffers }, [1, 1, 1])];
}
