/**
 * What surrounds the network in training: a batch is drawn and noised, and its loss taken.
 *
 * @module
 */
import { drawBatch } from "../../../kernels/draw_batch.ts";
import { mse, recordLoss } from "../../../kernels/mse.ts";
import { qSample } from "../../../kernels/q_sample.ts";
import type { Launch } from "../../../kernels/source.ts";
import { storedIn } from "../../../kernels/storage.ts";
import type { BufferView } from "../../gpu/memory.ts";
import { classCount, imageSize, type UNetConfig } from "../../model/config.ts";
import type { Precision } from "../../model/precision.ts";
import type { ResidentDataset } from "./resident.ts";

/** What is the same for every batch. */
export interface BatchOptions {
  readonly config: UNetConfig;
  /** Images in one micro-batch. */
  readonly batch: number;
  /** Micro-batches to one optimizer step. */
  readonly microBatches: number;
  /** Probability of training a sample without its class. */
  readonly labelDropout: number;
  /** Mirror images with probability 1/2. */
  readonly flip: boolean;
  /** How activations lie in memory; default float32. float16 needs `shader-f16`, and scales the loss. */
  readonly precision?: Precision;
}

/** What the batch kernels write and the loss reads. */
export interface Batch {
  readonly data: ResidentDataset;
  readonly timesteps: number;
  readonly stepState: BufferView;
  readonly order: BufferView;
  readonly draws: BufferView;
  readonly schedule: BufferView;
  readonly targets: BufferView;
  readonly lossPerSample: BufferView;
  /** Labels of a network that takes none; the kernel writes them all the same. */
  readonly unusedLabels: BufferView;
  readonly log: BufferView;
  /** Where activations are float16. */
  readonly lossScale: BufferView | undefined;
}

/** Where a network finds its inputs. */
export interface NetworkInputs {
  readonly x: BufferView;
  readonly timesteps: BufferView;
  readonly labels?: BufferView;
}

/** Draws and noises a batch. */
export function batchLaunches(
  options: BatchOptions,
  shared: Batch,
  inputs: NetworkInputs,
): Launch<BufferView>[] {
  const { config, batch, labelDropout, flip } = options;
  const [height, width] = imageSize(config);
  const { stepState: step_state, order, draws, schedule, targets, data } = shared;
  const label = inputs.labels ?? shared.unusedLabels;
  return storedIn(options.precision === "float16", [
    ...drawBatch({ batch, timesteps: shared.timesteps, classes: classCount(config), labelDropout, flip }, {
      step_state,
      order,
      labels: data.labels,
      draws,
      timestep: inputs.timesteps,
      label,
    }),
    ...data.chunks.flatMap(({ first, count, images }) =>
      qSample({ batch, height, width, channels: config.inChannels, chunkFirst: first, chunkCount: count }, {
        step_state,
        images,
        draws,
        schedule,
        x_t: inputs.x,
        targets,
      })
    ),
  ]);
}

/** The loss, its record, and its gradient where a buffer for it is given. */
export function lossLaunches(
  options: BatchOptions,
  shared: Batch,
  prediction: BufferView,
  gradient?: BufferView,
): Launch<BufferView>[] {
  const { config, batch, microBatches } = options;
  const [height, width] = imageSize(config);
  const { stepState: step_state, draws, schedule, targets, lossPerSample: loss_per_sample, log: train_log } =
    shared;
  const shape = {
    batch,
    pixels: height * width,
    channels: config.outChannels,
    gradientScale: 1 / microBatches,
  };
  const { lossScale: loss_scale } = shared;
  return storedIn(options.precision === "float16", [
    ...mse(shape, {
      step_state,
      draws,
      schedule,
      prediction,
      targets,
      loss_per_sample,
      gradient,
      loss_scale,
    }),
    ...recordLoss(batch, { step_state, loss_per_sample, train_log }),
  ]);
}
