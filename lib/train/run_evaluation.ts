/**
 * Evaluation of a run's EMA weights as it goes: bits per dimension and denoising loss by timestep, on validation images.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import { evaluateLikelihood } from "../evaluation/likelihood.ts";
import { type LikelihoodPlan, planLikelihood } from "../evaluation/likelihood_plan.ts";
import { emptyLikelihoodSums, likelihoodOf } from "../evaluation/likelihood_result.ts";
import { boundSteps } from "../evaluation/variational_bound.ts";
import type { Gpu } from "../gpu/device.ts";
import { DenoisingPass } from "../sampling/denoising_pass.ts";
import type { EvaluationEvent, EvaluationProgressEvent, WarningEvent } from "./events.ts";
import { processOf } from "./objective_settings.ts";
import type { RunEnvironment } from "./options.ts";
import { reportedProgress } from "./reported_progress.ts";
import type { RunEvaluator } from "./run_keeping.ts";
import { type RunPlan, stopsEarly } from "./run_plan.ts";
import { SampleEvaluation } from "./sample_evaluation.ts";
import { evaluatesSamples, type SampleGrid } from "./sample_grid.ts";

/** Validation images of an evaluation at most, and network passes for each; a minute on two CPU cores for preset `tiny`. */
const IMAGES = 128;
const TERMS = 20;

/** Evaluates a run when it is due. */
export class RunEvaluation implements RunEvaluator {
  readonly #pass: DenoisingPass;
  readonly #plan: RunPlan;
  readonly #likelihood: LikelihoodPlan;
  readonly #samples: SampleEvaluation | undefined;
  readonly #signal: AbortSignal | undefined;
  /** Optimizer steps done at the last evaluation. */
  #evaluatedStep: number | undefined;

  private constructor(
    pass: DenoisingPass,
    plan: RunPlan,
    likelihood: LikelihoodPlan,
    samples: SampleEvaluation | undefined,
    signal: AbortSignal | undefined,
  ) {
    this.#pass = pass;
    this.#plan = plan;
    this.#likelihood = likelihood;
    this.#samples = samples;
    this.#signal = signal;
  }

  /**
   * Allocates what a run's evaluations need on the device.
   *
   * @param weights EMA weights, laid out by `ParameterTable`; they may change between evaluations
   * @param grid draws samples, if any are evaluated
   * @throws {ConfigError | CheckpointError} if samples should be evaluated without a classifier that fits
   * @throws {DeviceError} if there is too little memory
   */
  static async build(
    gpu: Gpu,
    plan: RunPlan,
    weights: GPUBuffer,
    environment: RunEnvironment,
    grid: SampleGrid | undefined,
    target?: KernelTarget,
  ): Promise<RunEvaluation> {
    const { data, signal } = environment;
    const { settings: { model: config, precision, batch, seed }, trainImages, validationImages } = plan;
    const process = processOf(plan.settings);
    // The batch of training, for which kernels are tuned
    const options = { config, process, weights, rows: batch, target, precision };
    const samples = grid && evaluatesSamples(plan)
      ? await SampleEvaluation.build(gpu, plan, environment, grid, target)
      : undefined;
    const pass = await DenoisingPass.build(gpu, options).catch((error) => {
      samples?.destroy();
      throw error;
    });
    const likelihood = planLikelihood(process, data, {
      among: plan.images.subarray(trainImages),
      images: Math.min(IMAGES, validationImages),
      terms: Math.min(TERMS, boundSteps(process).levels.length - 1),
      seed,
    });
    return new RunEvaluation(pass, plan, likelihood, samples, signal);
  }

  /** Continues after an evaluation at an optimizer step, if any. */
  resumeFrom(step: number | undefined): void {
    this.#evaluatedStep = step;
  }

  /** Network evaluations, counted per image. */
  get evaluations(): number {
    const { indices, strata } = this.#likelihood;
    return indices.length * (strata.length + 1) + (this.#samples?.evaluations ?? 0);
  }

  /** True if the last finished epoch, even one before a resume, should have an evaluation and has none. */
  get due(): boolean {
    const { progress: { step, history }, totalSteps, grids: { evaluateEvery } } = this.#plan;
    const last = history.at(-1);
    if (last?.step !== step || this.#evaluatedStep === step) return false;
    return step === totalSteps || stopsEarly(this.#plan) || last.epoch % evaluateEvery === 0;
  }

  /** Evaluates the weights; yields progress, and returns undefined if the caller's signal came first. */
  async *evaluate(): AsyncGenerator<EvaluationProgressEvent, EvaluationEvent | WarningEvent | undefined> {
    const total = this.evaluations;
    const { step, history } = this.#plan.progress;
    const { epoch } = history.at(-1)!; // an evaluation is due after an epoch only
    const sums = emptyLikelihoodSums(this.#likelihood);
    for await (
      const { evaluations: done } of evaluateLikelihood(this.#pass, this.#likelihood, sums, {
        signal: this.#signal, // ends it within a pass
      })
    ) yield { type: "evaluating", done, total };
    if (sums.bits.length < this.#likelihood.indices.length) return undefined;
    const { images, bitsPerDimension, standardError, losses } = likelihoodOf(this.#likelihood, sums);
    if (!Number.isFinite(bitsPerDimension)) {
      return this.#notFinite(epoch, step);
    }
    const samples = yield* this.#measureSamples(total);
    if (samples === undefined) return undefined;
    if (samples === null) return this.#notFinite(epoch, step);
    this.#evaluatedStep = step;
    const result = { images, bitsPerDimension, standardError, losses, ...samples };
    return { type: "evaluation", epoch, step, ...result };
  }

  /** Measures of the samples, if any are drawn; undefined if the signal came first, null if they are not finite. */
  async *#measureSamples(
    total: number,
  ): AsyncGenerator<EvaluationProgressEvent, Pick<EvaluationEvent, "samples"> | null | undefined> {
    const evaluation = this.#samples;
    if (!evaluation) return {};
    const before = total - evaluation.evaluations;
    const progress = reportedProgress<number, Awaited<ReturnType<SampleEvaluation["measure"]>>>(
      (report) => evaluation.measure(report),
    );
    for (;;) {
      const { done, value } = await progress.next();
      if (!done) yield { type: "evaluating", done: before + value, total };
      else return value ? { samples: value } : value;
    }
  }

  #notFinite(epoch: number, step: number): WarningEvent {
    this.#evaluatedStep = step;
    return {
      type: "warning",
      message: `epoch ${epoch}: no evaluation, because the EMA weights are not finite`,
    };
  }

  /** Frees its device memory. */
  destroy(): void {
    this.#pass.destroy();
    this.#samples?.destroy();
  }
}
