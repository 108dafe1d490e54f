/**
 * Measurements of whole training steps of a network.
 *
 * @module
 */
import type { ImageDataset } from "../lib/data/dataset.ts";
import { imageDataset } from "../lib/data/image_dataset.ts";
import { objectiveTables } from "../lib/diffusion/objective.ts";
import { NoiseSchedule } from "../lib/diffusion/schedule.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { ResourceScope } from "../lib/gpu/memory.ts";
import type { UNetConfig } from "../lib/model/config.ts";
import { recordForward } from "../lib/model/network.ts";
import type { Precision } from "../lib/model/precision.ts";
import { ResidentDataset } from "../lib/train/device/resident.ts";
import { TrainingStep } from "../lib/train/device/step.ts";
import { trainingGraph } from "../lib/train/device/step_graph.ts";
import type { Tuning } from "../lib/tuning/tuning.ts";
import { measureAgainst, type Work } from "./measure.ts";
import {
  CLASSES,
  type MeasuredNetwork,
  measuredNetwork,
  modelConfig,
  type NetworkMeasurementContext,
  preparePrecision,
} from "./models.ts";
import { STEP } from "./operations.ts";

/** A compiled training step. */
export interface Trainer {
  readonly step: TrainingStep;
  /** Runs optimizer steps. */
  readonly work: Work;
  destroy(): void;
}

/**
 * Builds a training step on random images, with initialised weights and tuned kernels.
 *
 * @param steps steps of the run; longer runs are tuned for longer
 * @throws {ConfigError} if the device does not support the precision, or its matrix units fail their check
 * @throws {DeviceError} if it does not fit the device
 */
export function buildTrainer(
  gpu: Gpu,
  config: UNetConfig,
  batch: number,
  tuning: Tuning,
  precision: Precision = "float32",
  steps = 1,
): Promise<Trainer> {
  const scope = new ResourceScope(gpu, "bench training");
  return scope.guard(async () => {
    await preparePrecision(gpu, precision);
    const record = () => [
      trainingGraph({ config, batch, precision }),
      recordForward(config, batch, precision).g,
    ];
    const target = await tuning.tuned(record, undefined, { runs: [steps] });
    const images = randomImages(Math.max(batch, 256));
    const order = Uint32Array.from({ length: images.count }, (_, i) => i);
    const data = scope.own(ResidentDataset.upload(gpu, images, order));
    const optimizer = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, clip: 1 };
    const step = scope.own(
      await TrainingStep.build(
        gpu,
        {
          config,
          batch,
          microBatches: 1,
          labelDropout: 0.1,
          flip: true,
          ...optimizer,
          stopAtNonFinite: true,
          precision,
          target,
        },
        objectiveTables(new NoiseSchedule()),
        data,
      ),
    );
    data.setOrder(order);
    const weights = step.table.initialize(0);
    for (const { buffer } of [step.weights.parameters, step.weights.ema]) {
      gpu.device.queue.writeBuffer(buffer, 0, weights);
    }
    let done = 0;
    const work = (count: number) => {
      for (let i = 0; i < count; i++) step.update({ ...STEP, step: done++, count: batch });
    };
    return { step, work, destroy: () => scope.destroy() };
  });
}

/** Random images; the cost of a step does not depend on them. */
function randomImages(count: number): ImageDataset {
  const images = new Uint8Array(count * 32 * 32 * 3);
  for (let i = 0; i < images.length; i += 65536) crypto.getRandomValues(images.subarray(i, i + 65536));
  const labels = Uint8Array.from({ length: count }, (_, i) => i % CLASSES);
  const classes = Array.from({ length: CLASSES }, (_, i) => `class ${i}`);
  return imageDataset({ name: "noise", images, labels, classes, height: 32, width: 32 });
}

/** A row of the training table. */
export interface TrainingRow extends MeasuredNetwork {
  /** Number of trainable values. */
  readonly parameters: number;
  readonly batch: number;
  readonly dispatches: number;
  /** Median of one step. */
  readonly milliseconds: number;
  readonly imagesPerSecond: number;
  /** Operations of convolutions, matrix products and attention in one step, 2 per multiply-add. */
  readonly flops: number;
  readonly gflops: number;
  /** Share of the multiply-add peak measured alternately, 0 to 1. */
  readonly ofPeak: number;
  /** Host milliseconds to record and submit 1,000 dispatches, best of several tries. */
  readonly hostMillisecondsPer1000: number;
  /** From the start of compilation to the end of the first step; pipelines may be cached. */
  readonly firstStepSeconds: number;
}

/** Measures training steps of a network. */
export async function measureTraining(
  gpu: Gpu,
  model: string,
  batch: number,
  { tuning, precision, fma, effort }: NetworkMeasurementContext,
): Promise<TrainingRow> {
  const start = performance.now();
  const trainer = await buildTrainer(gpu, modelConfig(model), batch, tuning, precision);
  try {
    await trainer.work(1);
    await gpu.device.queue.onSubmittedWorkDone();
    const firstStepSeconds = (performance.now() - start) / 1000;
    const { programs, flops, table } = trainer.step;
    const { seconds, ratio } = await measureAgainst(gpu, trainer.work, flops, fma, effort);
    const dispatches = programs.micro.dispatches.length + programs.update.dispatches.length;
    return {
      ...measuredNetwork(model, precision),
      parameters: table.count,
      batch,
      dispatches,
      milliseconds: 1000 * seconds,
      imagesPerSecond: batch / seconds,
      flops,
      gflops: flops / seconds / 1e9,
      ofPeak: ratio,
      hostMillisecondsPer1000: 1000 * await hostTime(gpu, trainer.work) / dispatches,
      firstStepSeconds,
    };
  } finally {
    trainer.destroy();
  }
}

/**
 * Milliseconds to record and submit one piece of work on an idle device: the least of up to ten tries, because a software
 * adapter's threads compete with the timed one for the CPU.
 */
async function hostTime(gpu: Gpu, work: Work): Promise<number> {
  let least = Infinity;
  const end = performance.now() + 2000;
  for (let i = 0; i < 10 && (i === 0 || performance.now() < end); i++) {
    const start = performance.now();
    await work(1);
    least = Math.min(least, performance.now() - start);
    await gpu.device.queue.onSubmittedWorkDone();
  }
  return least;
}
