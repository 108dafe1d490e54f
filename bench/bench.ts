/**
 * Benchmark of an adapter: its peak rates, then kernels and networks as shares of them.
 *
 * @module
 */
import { DenoiseError } from "../lib/errors.ts";
import type { AdapterDescription, Gpu } from "../lib/gpu/device.ts";
import { Profiler } from "../lib/gpu/profile.ts";
import { kernelTarget } from "../lib/graph/compile.ts";
import { type Precision, prepareMatrices } from "../lib/model/precision.ts";
import { CIFAR10_PRESETS } from "../lib/model/presets.ts";
import { type TuneMode, Tuning, TUNING_DIRECTORY } from "../lib/tuning/tuning.ts";
import { openTuning } from "../lib/tuning/tuning_file.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import type { TraceGroup } from "../terminal/profile_trace.ts";
import type { Reporter } from "../terminal/progress.ts";
import { largestBatch, suitableBatch } from "./network_batch.ts";
import { describeEnvironment } from "./environment.ts";
import { measureFirstStep } from "./first_step.ts";
import { measureKernel, suitableCase } from "./kernel_rows.ts";
import type { KernelCase } from "./kernels.ts";
import { type Limits, measureLimits } from "./limits.ts";
import { type Effort, median, type Work } from "./measure.ts";
import {
  measuredNetwork,
  modelConfig,
  MODELS,
  type NetworkMeasurementContext,
  networkName,
  preparePrecision,
} from "./models.ts";
import { networkFlops } from "./operations.ts";
import { IN_MIXED, measurePrecisions } from "./precisions.ts";
import { type BenchReport, newReport } from "./report.ts";
import { newProfile } from "../terminal/profile_table.ts";
import { buildSampler, measureSampling } from "./sampling.ts";
import {
  checkOnly,
  firstStepModel,
  kernelCasesFor,
  measuresPrecisions,
  type Selection,
} from "./selection.ts";
import { buildTrainer, measureTraining } from "./training.ts";

/** Options of {@linkcode runBench}. */
export interface BenchOptions extends Selection {
  /** Add a profile of each network's steps. */
  readonly profile: boolean;
  /** Batch size of each network; default: as large as suits the adapter. */
  readonly batch?: number;
  /** Sampling steps per image. */
  readonly steps: number;
  /** Precision of training, sampling and first steps; default float32. */
  readonly precision?: Precision;
  /** When to autotune; default `auto`. */
  readonly tune?: TuneMode;
  /** Baseline report; its batch sizes are used again. */
  readonly earlier?: BenchReport;
  /** Called once the adapter is known, before anything is measured; may throw to end the benchmark. */
  readonly accept?: (adapter: AdapterDescription) => void;
}

/** Result of {@linkcode runBench}. */
export interface BenchResult {
  readonly report: BenchReport;
  /** The dispatches behind the report's profiles. */
  readonly traces: readonly TraceGroup[];
}

/** Profiled replays of a step, after one warm-up. */
const PROFILED_STEPS = 3;

const FULL: Effort = { seconds: 0.3, referenceSeconds: 0.15, repeats: 3 };
const QUICK: Effort = { seconds: 0.1, referenceSeconds: 0.1, repeats: 1 };

/** Runs the benchmark; rows that cannot be measured are listed in the report with the reason. */
export async function runBench(options: BenchOptions, reporter: Reporter): Promise<BenchResult> {
  const gpu = await openTaskGpu();
  const onWarning = (message: string) => reporter.line(`warning: ${message}`);
  try {
    options.accept?.(gpu.adapter);
    checkOnly(options, gpu.adapter);
    if (measuresPrecisions(options, gpu.adapter)) await prepareMatrices(gpu, "mixed", onWarning);
    await preparePrecision(gpu, options.precision ?? "float32", onWarning);
  } catch (error) {
    gpu.close();
    throw error;
  }
  const report = newReport(describeEnvironment(gpu), options.quick);
  const bench = new Bench(gpu, options, reporter, report);
  try {
    await bench.run();
  } finally {
    reporter.stop();
    bench.close();
  }
  return { report, traces: bench.traces };
}

class Bench {
  readonly traces: TraceGroup[] = [];
  readonly #effort: Effort;
  #gpu: Gpu;
  #limits: Limits | undefined;
  #tuning: Tuning;
  /** Estimated FLOP/s of the next network: from the limits, then from kernels, then from the previous network. */
  #networkRate = 0;

  constructor(
    gpu: Gpu,
    readonly options: BenchOptions,
    readonly reporter: Reporter,
    readonly report: BenchReport,
  ) {
    this.#gpu = gpu;
    this.#tuning = Tuning.of(gpu);
    this.#effort = options.quick ? QUICK : FULL;
  }

  async run(): Promise<void> {
    await this.#openTuning();
    this.reporter.start(1, "limits of the adapter");
    const { fma, copy } = await this.#measureLimits();
    this.report.limits = {
      fmaGflops: fma.rate / 1e9,
      fmaVariant: fma.variant,
      copyGigabytesPerSecond: copy.rate / 1e9,
      copyVariant: copy.variant,
    };
    this.#networkRate = fma.rate / 10;
    await this.#kernels();
    await this.#models("training", MODELS, (model, batch) => this.#training(model, batch));
    await this.#models("sampling", CIFAR10_PRESETS, (model, batch) => this.#sampling(model, batch));
    const { quick, again } = this.options;
    if (again) return;
    if (measuresPrecisions(this.options, this.#gpu.adapter)) await this.#precisions();
    if (!quick) await this.#firstStep();
  }

  close(): void {
    this.#limits?.destroy();
    this.#gpu.close();
  }

  async #openTuning(): Promise<void> {
    const options = { tune: this.options.tune, tuningDirectory: TUNING_DIRECTORY };
    this.#tuning = await openTuning(
      this.#gpu,
      options,
      (message) => this.reporter.line(`warning: ${message}`),
    );
  }

  async #measureLimits(): Promise<Limits> {
    return this.#limits = await measureLimits(this.#gpu, this.#effort);
  }

  get #measuring(): NetworkMeasurementContext {
    return {
      tuning: this.#tuning,
      precision: this.#precision,
      fma: this.#limits!.fma,
      effort: this.#effort,
    };
  }

  get #precision(): Precision {
    return this.options.precision ?? "float32";
  }

  /** Runs a measurement; a device error is recorded in the report, and the benchmark continues. */
  async #attempt(name: string, body: (limits: Limits) => Promise<void>): Promise<void> {
    try {
      if (this.#gpu.fault) {
        this.#gpu.close();
        this.#gpu = await openTaskGpu();
        await this.#openTuning();
        await this.#measureLimits();
      }
      await body(this.#limits!);
    } catch (error) {
      if (!(error instanceof DenoiseError)) throw error;
      this.report.skipped.push({ name, reason: error.message });
    }
  }

  async #kernels(): Promise<void> {
    const [largest = [], ...smaller] = kernelCasesFor(this.#gpu.adapter.software);
    const { only, again } = this.options;
    const chosen = largest
      .map((first, i) => ({
        name: first.name,
        cases: [first, ...smaller.flatMap((cases) => cases[i] ?? [])],
      }))
      .filter(({ name, cases }) => only.test(name) && (!again || cases.some((one) => this.#hasEarlier(one))));
    this.reporter.start(chosen.length, "kernels");
    for (const [done, { name, cases }] of chosen.entries()) {
      this.reporter.update(done, { now: name });
      await this.#attempt(name, async (limits) => {
        const earlier = cases.find((one) => this.#hasEarlier(one));
        const measuring = { tuning: this.#tuning, limits, effort: this.#effort };
        const kernelCase = earlier ?? await suitableCase(this.#gpu, cases, measuring);
        this.report.kernels.push(...await measureKernel(this.#gpu, kernelCase, measuring));
      });
    }
    const rates = this.report.kernels.filter(({ name }) => name.startsWith("conv 3x3")).map(({ gflops }) =>
      gflops!
    );
    if (rates.length > 0) this.#networkRate = 1e9 * median(rates);
  }

  /** True if the baseline has a row of this case. */
  #hasEarlier({ name }: KernelCase): boolean {
    return this.options.earlier?.kernels.some((row) => `${row.name} `.startsWith(`${name} `)) ?? false;
  }

  async #models(
    kind: "training" | "sampling",
    all: readonly string[],
    measure: (model: string, batch: number) => Promise<void>,
    prefix = "",
  ): Promise<void> {
    const named = (model: string) => networkName(measuredNetwork(model, this.#precision));
    const earlierRow = (model: string) =>
      this.options.earlier?.[kind].find((row) => networkName(row) === named(model));
    const { only, quick, again, batch: asked } = this.options;
    const nameOf = (model: string) => `${prefix}${kind} ${model}`;
    const models = all.filter((model) => only.test(nameOf(model)) && (!again || earlierRow(model)));
    this.reporter.start(models.length, prefix + kind);
    for (const [done, model] of models.entries()) {
      this.reporter.update(done, { now: model });
      await this.#attempt(nameOf(model), async () => {
        const { forward, step } = networkFlops(modelConfig(model), 1, kernelTarget(this.#gpu));
        const seconds = (kind === "training" ? step : forward) / this.#networkRate;
        const suitable = () => suitableBatch(model, seconds, { software: this.#gpu.adapter.software, quick });
        await measure(model, asked ?? earlierRow(model)?.batch ?? suitable());
      });
    }
  }

  async #training(model: string, batch: number): Promise<void> {
    const row = await measureTraining(this.#gpu, model, batch, this.#measuring);
    this.report.training.push(row);
    this.#networkRate = row.gflops * 1e9;
    if (!this.options.profile) return;
    const trainer = await buildTrainer(this.#gpu, modelConfig(model), batch, this.#tuning, row.precision);
    await this.#profile(`training step of ${networkName(row)}, batch ${batch}`, trainer);
  }

  async #profile(name: string, { work, destroy }: { work: Work; destroy(): void }): Promise<void> {
    try {
      const profiler = new Profiler(this.#gpu, { skip: 1, take: PROFILED_STEPS });
      await work(1 + PROFILED_STEPS);
      const replays = await profiler.finish();
      this.report.profiles.push(newProfile(name, replays));
      this.traces.push({ name, replays });
    } finally {
      destroy();
    }
  }

  async #sampling(model: string, batch: number): Promise<void> {
    const shape = { batch, steps: this.options.steps };
    const row = await measureSampling(this.#gpu, model, shape, this.#measuring);
    this.report.sampling.push(row);
    if (!this.options.profile) return;
    const sampler = await buildSampler(this.#gpu, modelConfig(model), shape, this.#tuning, row.precision);
    await this.#profile(`sampling step of ${networkName(row)}, batch ${batch}`, sampler);
  }

  async #precisions(): Promise<void> {
    for (const [kind, model] of IN_MIXED) {
      const measure = async (model: string, batch: number) => {
        const shape = { batch, steps: this.options.steps };
        this.report.precisions.push(
          await measurePrecisions(this.#gpu, kind, model, shape, this.#measuring),
        );
      };
      await this.#models(kind, [model], measure, "mixed ");
    }
  }

  async #firstStep(): Promise<void> {
    const { software } = this.#gpu.adapter;
    const model = firstStepModel(software);
    if (!this.options.only.test(`first step ${model}`)) return;
    this.reporter.start(1, `first step of ${model}`);
    await this.#attempt(`first step ${model}`, async () => {
      const batch = this.options.batch ?? largestBatch(model, software);
      this.report.firstSteps.push(await measureFirstStep(model, batch, this.options.tune, this.#precision));
    });
  }
}
