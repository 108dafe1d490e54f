/**
 * Growth of the cost of training and sampling with batch size, network width, number of images, and steps.
 *
 * @module
 */
import { DeviceError } from "../lib/errors.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { kernelTarget } from "../lib/graph/compile.ts";
import type { UNetConfig } from "../lib/model/config.ts";
import { CIFAR10_PRESETS, presetConfig } from "../lib/model/presets.ts";
import { type TuneMode, type Tuning, TUNING_DIRECTORY } from "../lib/tuning/tuning.ts";
import { openTuning } from "../lib/tuning/tuning_file.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import type { Reporter } from "../terminal/progress.ts";
import { describeEnvironment, type Environment } from "./environment.ts";
import { measureLimits } from "./limits.ts";
import { median, type Reference, timeOnce, type Work } from "./measure.ts";
import { buildTrainer } from "./training.ts";
import { buildSampler } from "./sampling.ts";
import { CLASSES } from "./models.ts";
import { networkFlops } from "./operations.ts";

/** One measurement of a series. */
export interface GrowthPoint {
  /** Value on the axis, e.g. images per batch. */
  readonly size: number;
  /** Expected cost: the size itself, or GFLOP. */
  readonly load: number;
  /** Median, scaled to the multiply-add rate at the beginning of the run. */
  readonly milliseconds: number;
}

/** Axis of a series. */
export interface GrowthAxis {
  readonly title: string;
  /** Name of the varied quantity, e.g. `batch`. */
  readonly size: string;
  /** Unit of the load, e.g. `image`. */
  readonly load: string;
}

/** A series of measurements, smallest first. */
export interface GrowthSeries extends GrowthAxis {
  readonly points: readonly GrowthPoint[];
  /** Why it ends before the largest size; undefined if it does not. */
  readonly end?: string;
}

/** Result of {@linkcode measureGrowth}. */
export interface Growth {
  readonly environment: Environment;
  /** Float32 multiply-add peak at the beginning of the run, GFLOP/s. */
  readonly fmaGflops: number;
  readonly series: readonly GrowthSeries[];
}

/** Options of {@linkcode measureGrowth}. */
export interface GrowthOptions {
  readonly quick: boolean;
  /** Only series with a matching title are measured. */
  readonly only: RegExp;
  /** When to autotune; default `auto`. */
  readonly tune?: TuneMode;
}

/** Time limits of the measurement. */
export interface GrowthEffort {
  /** Longest single piece of work, seconds. */
  readonly longest: number;
  /** Total seconds. */
  readonly total: number;
}

const FULL: GrowthEffort = { longest: 3, total: 220 };
const QUICK: GrowthEffort = { longest: 0.5, total: 50 };
/** Most samples per point; at least two are taken. */
const SAMPLES = 5;
/** After two samples, no further sample of a point begins after this time. */
const POINT_MILLISECONDS = 2000;
/** Shortest sample, seconds. */
const SAMPLE_SECONDS = 0.2;
const LIMIT_EFFORT = { seconds: 0.3, referenceSeconds: 0.1, repeats: 2 };

/** A series to measure. */
export interface GrowthPlan extends GrowthAxis {
  readonly sizes: readonly number[];
  /** Load of a size; default: the size itself. */
  readonly loadOf?: (size: number) => number;
  /** Floating-point operations at a size. */
  readonly flops: (size: number) => number;
  readonly prepare: (size: number) => Promise<PreparedPoint>;
}

/** Work with its device memory. */
export interface PreparedPoint {
  readonly work: Work;
  destroy(): void;
}

/** Batch size where the width or the number of sampling steps varies. */
const FEW_IMAGES = 4;
/** Sampling steps where the number of images varies. */
const FEW_STEPS = 5;
/** Sampling batch, as in `deno task sample`. */
const SAMPLING_BATCH = 64;

/** Measures each series as far as time and memory allow. */
export async function measureGrowth(options: GrowthOptions, reporter: Reporter): Promise<Growth> {
  const gpu = await openTaskGpu();
  try {
    const environment = describeEnvironment(gpu);
    const effort = options.quick ? QUICK : FULL;
    const end = performance.now() + 1000 * effort.total;
    reporter.start(1, "limits of the adapter");
    const limits = await measureLimits(gpu, LIMIT_EFFORT);
    const warn = (message: string) => reporter.line(`warning: ${message}`);
    const tuning = await openTuning(
      gpu,
      { tune: options.tune, tuningDirectory: TUNING_DIRECTORY },
      warn,
    );
    const plans = growthPlans(gpu, tuning).filter(({ title }) => options.only.test(title));
    const series: GrowthSeries[] = [];
    reporter.start(plans.length, "growth");
    for (const [i, plan] of plans.entries()) {
      reporter.update(i, { now: plan.title });
      // The remaining time is split evenly among the remaining series.
      const until = performance.now() + (end - performance.now()) / (plans.length - i);
      series.push(await measureSeries(gpu, plan, { effort, until, fma: limits.fma }));
    }
    limits.destroy();
    return { environment, fmaGflops: limits.fma.rate / 1e9, series };
  } finally {
    reporter.stop();
    gpu.close();
  }
}

function growthPlans(gpu: Gpu, tuning: Tuning): GrowthPlan[] {
  const target = kernelTarget(gpu);
  const flopsOf = (config: UNetConfig) => networkFlops(config, 1, target);
  const training = (config: UNetConfig, batch: number) => buildTrainer(gpu, config, batch, tuning);
  const tiny = presetConfig("tiny", CLASSES);
  const first = tiny.blockOutChannels[0]!; // a network has at least one level
  const wide = (channels: number) =>
    presetConfig("tiny", CLASSES, {
      blockOutChannels: tiny.blockOutChannels.map((c) => c / first * channels),
    });
  const draw = async (count: number, steps: number): Promise<PreparedPoint> => {
    const batch = Math.min(count, SAMPLING_BATCH);
    const sampler = await buildSampler(gpu, tiny, { batch, steps }, tuning);
    const work: Work = (times) => sampler.work(times * steps * Math.ceil(count / batch));
    return { work, destroy: sampler.destroy };
  };
  const { forward } = flopsOf(tiny);
  return [
    {
      title: `Drawing with \`tiny\`, ${FEW_STEPS} steps, over the number of images`,
      ...{ size: "images", load: "image", sizes: doublings(1, 1024) },
      flops: (count) => count * FEW_STEPS * forward,
      prepare: (count) => draw(count, FEW_STEPS),
    },
    {
      title: `Drawing ${FEW_IMAGES} images with \`tiny\`, over the number of steps`,
      ...{ size: "steps", load: "step", sizes: doublings(1, 256) },
      flops: (steps) => FEW_IMAGES * steps * forward,
      prepare: (steps) => draw(FEW_IMAGES, steps),
    },
    {
      title: `Training step of the shape of \`tiny\`, batch ${FEW_IMAGES}, over width`,
      ...{ size: "first channels", load: "GFLOP", sizes: doublings(16, 512) },
      loadOf: (channels) => FEW_IMAGES * flopsOf(wide(channels)).step / 1e9,
      flops: (channels) => FEW_IMAGES * flopsOf(wide(channels)).step,
      prepare: (channels) => training(wide(channels), FEW_IMAGES),
    },
    ...CIFAR10_PRESETS.map((name): GrowthPlan => {
      const config = presetConfig(name, CLASSES);
      const { step } = flopsOf(config);
      return {
        title: `Training step of \`${name}\`, over the batch`,
        ...{ size: "batch", load: "image", sizes: doublings(1, 1024) },
        flops: (batch) => batch * step,
        prepare: (batch) => training(config, batch),
      };
    }),
  ];
}

function doublings(first: number, last: number): number[] {
  const sizes: number[] = [];
  for (let size = first; size <= last; size *= 2) sizes.push(size);
  return sizes;
}

/** Limits of a series. */
export interface SeriesBounds {
  readonly effort: GrowthEffort;
  /** No point begins after this time (`performance.now()`). */
  readonly until: number;
  /** Multiply-add reference: scales the times and gives the estimate for the first point. */
  readonly fma: Reference & { readonly rate: number };
}

/** Measures sizes, smallest first, until a limit is reached or the device runs out of memory. */
export async function measureSeries(gpu: Gpu, plan: GrowthPlan, bounds: SeriesBounds): Promise<GrowthSeries> {
  const { effort, until, fma } = bounds;
  const { title, size: sizeName, load: loadName, sizes, loadOf = (size) => size, flops, prepare } = plan;
  const points: GrowthPoint[] = [];
  const done = (end?: string): GrowthSeries => ({ title, size: sizeName, load: loadName, points, end });
  /** FLOP/s of the previous point; initially a quarter of the peak. */
  let rate = fma.rate / 4;
  let spent = 0;
  for (const size of sizes) {
    const seconds = flops(size) / rate;
    // The first estimate is rough, and a series needs at least one point: twice the limit.
    const longest = points.length === 0 ? 2 * effort.longest : effort.longest;
    if (seconds > longest) {
      return done(`${size} would take about ${seconds.toPrecision(2)} s, more than ${longest} s`);
    }
    // Sizes double, so the next point takes about twice as long, compilation included.
    if (performance.now() + 2 * spent > until) return done("the time limit of this table was reached");
    const start = performance.now();
    let prepared: PreparedPoint;
    try {
      prepared = await prepare(size);
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      return done(error.message);
    }
    try {
      const seconds = await measurePoint(gpu, prepared.work, fma);
      points.push({ size, load: loadOf(size), milliseconds: 1000 * seconds });
      rate = flops(size) / seconds;
    } finally {
      prepared.destroy();
    }
    spent = performance.now() - start;
  }
  return done();
}

/** Seconds of one piece of work, scaled to the multiply-add rate at the beginning of the run. */
async function measurePoint(gpu: Gpu, work: Work, fma: SeriesBounds["fma"]): Promise<number> {
  await timeOnce(gpu, work, 1);
  const rateNow = async () => fma.count * fma.units / await timeOnce(gpu, fma.work, fma.count);
  const start = performance.now();
  const seconds: number[] = [];
  let [count, before] = [1, await rateNow()];
  do {
    const taken = await timeOnce(gpu, work, count) / count;
    const after = await rateNow();
    // Scaling by the neighbouring reference rates cancels other load, which would look like growth.
    seconds.push(taken * (before + after) / 2 / fma.rate);
    before = after;
    const most = Math.max(1, Math.round(SAMPLE_SECONDS / taken));
    // Short work is dominated by the wait for the device: drop the sample and repeat the work.
    if (count === 1 && most > 1) {
      count = most;
      seconds.length = 0;
    }
  } while (
    seconds.length < 2 || (seconds.length < SAMPLES && performance.now() - start < POINT_MILLISECONDS)
  );
  return median(seconds);
}
