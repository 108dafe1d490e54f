/**
 * Launcher of `self_condition.wgsl`: estimates of x_0 for training with self-conditioning.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { selfConditionKernel } from "./sources.ts";

/** Shape of a batch, and the bound of its estimates. */
export interface SelfConditionShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  /** Channels of an image, 3 for RGB. */
  readonly channels: number;
  /** Channels of the network's output, twice as many with a learned variance. */
  readonly outChannels: number;
  /** Bound on |x_0|; the largest float32 for none. */
  readonly clip: number;
}

/** Buffers of {@linkcode selfConditionForward}. */
export interface SelfConditionBuffers<B> {
  /** A `StepState` record. */
  readonly step_state: B;
  /** From `drawBatchForward`. */
  readonly draws: B;
  /** From `encodeScheduleTables`. */
  readonly schedule: B;
  /** `[N, H, W, Cp]`, from `qSampleForward`. */
  readonly x_t: B;
  /** `[N, H, W, Op]`, the network's output. */
  readonly prediction: B;
  /** Out: `[N, H, W, Cp]`. */
  readonly estimate: B;
}

/** Writes an estimate of x_0 for about half of the samples, and zeros for the others. */
export function selfConditionForward<B>(
  { batch, height, width, channels, outChannels, clip }: SelfConditionShape,
  buffers: SelfConditionBuffers<B>,
  label = "self_condition",
): Launch<B>[] {
  const perImage = height * width * Math.ceil(channels / 4);
  const params = {
    ...{ batch, channels, clip },
    per_image: perImage,
    out_stride: 4 * Math.ceil(outChannels / 4),
  };
  const workgroups = grid1d(batch * perImage, 64);
  return [launch(selfConditionKernel, "self_condition", params, { ...buffers }, workgroups, { label })];
}
