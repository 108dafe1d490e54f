/**
 * Launcher of `draw_augmentation.wgsl`: random affine maps of a training batch, and the vectors that condition the network on them.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { drawAugmentationKernel } from "./sources.ts";

/** Length of the vector that conditions the network on a sample's augmentation. */
export const AUGMENTATION_DIM = 9;

/** Parameters of the augmentation. */
export interface DrawAugmentationOptions {
  /** Samples `N`. */
  readonly batch: number;
  /** Probability of each transformation, 0 to 1. */
  readonly probability: number;
  /** Size of the images in pixels. */
  readonly height: number;
  readonly width: number;
}

/** Buffers of {@linkcode drawAugmentationForward}. */
export interface DrawAugmentationBuffers<B> {
  /** A `StepState` record. */
  readonly step_state: B;
  /** From `drawBatchForward`, whose flips are part of the maps. */
  readonly draws: B;
  /** Out: `N` `SourceMap` records. */
  readonly maps: B;
  /** Out: `[N, 12]` f32, {@linkcode AUGMENTATION_DIM} numbers and padding. */
  readonly vectors: B;
}

/** Draws the augmentation of a batch as a function of the step number. */
export function drawAugmentationForward<B>(
  options: DrawAugmentationOptions,
  buffers: DrawAugmentationBuffers<B>,
  label = "draw_augmentation",
): Launch<B>[] {
  const workgroups = [Math.ceil(options.batch / 64), 1, 1] as const;
  return [launch(drawAugmentationKernel, "draw", { ...options }, { ...buffers }, workgroups, { label })];
}
