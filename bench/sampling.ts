/**
 * Measurements of whole sampling steps of a network.
 *
 * @module
 */
import { planSampling } from "../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../lib/diffusion/schedule.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { ResourceScope } from "../lib/gpu/memory.ts";
import type { UNetConfig } from "../lib/model/config.ts";
import { recordForward, unetParameters } from "../lib/model/network.ts";
import type { Precision } from "../lib/model/precision.ts";
import { Generator } from "../lib/sampling/generator.ts";
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

/** A row of the sampling table. */
export interface SamplingRow extends MeasuredNetwork {
  /** Images per batch. */
  readonly batch: number;
  /** Sampling steps per image. */
  readonly steps: number;
  /** Median of one step of the whole batch. */
  readonly millisecondsPerStep: number;
  readonly imagesPerSecond: number;
  readonly gflops: number;
  /** Share of the multiply-add peak measured alternately, 0 to 1. */
  readonly ofPeak: number;
}

/** A compiled sampler. */
export interface Sampler {
  /** Runs steps of the whole batch; every {@linkcode SamplingShape.steps} of them complete its images. */
  readonly work: Work;
  readonly flopsPerStep: number;
  destroy(): void;
}

/** Batch size and number of steps. */
export interface SamplingShape {
  /** Images per batch. */
  readonly batch: number;
  /** Sampling steps per image. */
  readonly steps: number;
}

/**
 * Builds a DDIM sampler without guidance (which would double the cost), with initialised weights and tuned kernels.
 *
 * @throws {ConfigError} if the device does not support the precision, or its matrix units fail their check
 * @throws {DeviceError} if it does not fit the device
 */
export function buildSampler(
  gpu: Gpu,
  config: UNetConfig,
  { batch, steps }: SamplingShape,
  tuning: Tuning,
  precision: Precision = "float32",
): Promise<Sampler> {
  const scope = new ResourceScope(gpu, "bench sampling");
  return scope.guard(async () => {
    await preparePrecision(gpu, precision);
    const table = unetParameters(config, precision);
    const weights = scope.upload(table.initialize(0), "weights").buffer;
    const target = await tuning.tuned(() => [recordForward(config, batch, precision).g]);
    const generator = scope.own(
      await Generator.build(gpu, { config, weights, slots: batch, target, precision }),
    );
    const plan = planSampling("ddim", new NoiseSchedule(), { steps });
    const requests = Array.from({ length: batch }, (_, i) => ({
      label: i % CLASSES,
      seed: i,
      guidance: 1,
    }));
    // One piece of work is a single step: slow adapters do not finish an image.
    const work: Work = async (count) => {
      for (let left = count; left > 0; left -= steps) {
        await generator.draw(requests, plan.slice(0, Math.min(left, steps)));
      }
    };
    return { work, flopsPerStep: generator.flopsPerStep, destroy: () => scope.destroy() };
  });
}

/** Measures sampling steps of a network. */
export async function measureSampling(
  gpu: Gpu,
  model: string,
  shape: SamplingShape,
  { tuning, precision, fma, effort }: NetworkMeasurementContext,
): Promise<SamplingRow> {
  const { batch, steps } = shape;
  const sampler = await buildSampler(gpu, modelConfig(model), shape, tuning, precision);
  try {
    const { work, flopsPerStep } = sampler;
    const { seconds, ratio } = await measureAgainst(gpu, work, flopsPerStep, fma, effort);
    return {
      ...measuredNetwork(model, precision),
      batch,
      steps,
      millisecondsPerStep: 1000 * seconds,
      imagesPerSecond: batch / seconds / steps,
      gflops: flopsPerStep / seconds / 1e9,
      ofPeak: ratio,
    };
  } finally {
    sampler.destroy();
  }
}
