/**
 * Launcher of `draw_batch.wgsl`: sampling of a training batch on the device.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { drawBatchKernel } from "./sources.ts";

/** Parameters of batch sampling. */
export interface DrawBatchOptions {
  /** Samples `N`. */
  readonly batch: number;
  /** Rows of the schedule, at most 131,071; each sample draws one uniformly. */
  readonly levels: number;
  /** Sample `n` draws its row from the `n`-th of `batch` equal strata, so that a batch covers all of them. Default false. */
  readonly stratified?: boolean;
  /** Number of classes; also the null label. */
  readonly classes: number;
  /** Probability of the null label, 0 to 1. */
  readonly labelDropout: number;
  /** Mirror each image with probability 1/2. */
  readonly flip: boolean;
}

/** Buffers of {@linkcode drawBatchForward}. */
export interface DrawBatchBuffers<B> {
  /** A `StepState` record. */
  readonly step_state: B;
  /** u32 image indices; the batch starts at the step's `position`. */
  readonly order: B;
  /** One byte per image of the data set, zero-padded to whole words. */
  readonly labels: B;
  /** From `encodeScheduleTables`. */
  readonly schedule: B;
  /** Out: `N` `Draw` records. */
  readonly draws: B;
  /** Out: `[N]` f32, the network's input. */
  readonly timestep: B;
  /** Out: `[N]` u32, the network's input; an unconditional network ignores it. */
  readonly label: B;
}

/**
 * Draws a batch as a function of the step number: the same step gives the same batch. Validation uses its own random
 * stream, without flips or label dropout.
 */
export function drawBatchForward<B>(
  options: DrawBatchOptions,
  buffers: DrawBatchBuffers<B>,
  label = "draw_batch",
): Launch<B>[] {
  const { batch, levels, stratified, classes, labelDropout, flip } = options;
  const strata = stratified ? batch : 1;
  const params = { batch, levels, strata, classes, flip: flip ? 1 : 0, label_dropout: labelDropout };
  return [launch(drawBatchKernel, "draw", params, { ...buffers }, [Math.ceil(batch / 64), 1, 1], { label })];
}
