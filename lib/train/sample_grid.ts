/**
 * Sample grids drawn during training: a row for each class, or for some of many, with the same seeds every time.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import { Generator, generatorRows } from "../sampling/generator.ts";
import { labelText } from "../sampling/class_choice.ts";
import { DEFAULT_SAMPLER } from "../sampling/request.ts";
import type { SlotImage } from "../sampling/slot_image.ts";
import { evenly } from "../sampling/illustrate.ts";
import { networkRows } from "../diffusion/guidance.ts";
import { defaultSpacing, mostSteps, type PlannedStep, planSampling } from "../diffusion/sampler.ts";
import { DeviceError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { type ImageMetadata, Images } from "../image/images.ts";
import { classCount, imageSize } from "../model/config.ts";
import type { SamplesEvent, WarningEvent } from "./events.ts";
import type { RunEnvironment } from "./options.ts";
import { Pace, settle } from "../gpu/pace.ts";
import type { RunPlan } from "./run_plan.ts";
import { processOf } from "./objective_settings.ts";
import type { TrainSettings } from "./settings.ts";

/** Images drawn at once, if device memory allows. */
const SLOTS = 80;
/** Limit on the images in a grid of many classes. */
const MAX_IMAGES = 80;
/** Classes shown at least, however many images each has. */
const MIN_CLASSES = 10;
/** Rows of an unconditional network's grid. */
const UNCONDITIONAL_ROWS = 4;

interface Parts {
  readonly gpu: Gpu;
  readonly settings: TrainSettings;
  readonly options: RunEnvironment;
  /** Row by row. */
  readonly requests: readonly SlotImage[];
  readonly columns: number;
  /** Class of each row; empty for an unconditional network. */
  readonly labels: readonly number[];
  readonly plan: readonly PlannedStep[];
  readonly generator: Generator;
}

/** The part of a run's plan that decides its grids. */
type GridPlan = Pick<RunPlan, "settings" | "grids">;

/** Plans the images of a grid, row by row. */
function planGrid({ settings: { model, seed }, grids }: GridPlan) {
  const { samplesPerClass: columns, sampleSteps, guidance } = grids;
  const classes = classCount(model);
  const labels = evenly(classes, Math.max(MIN_CLASSES, Math.floor(MAX_IMAGES / columns)));
  const rows = classes === 0 ? UNCONDITIONAL_ROWS : labels.length;
  const requests = Array.from({ length: rows * columns }, (_, i): SlotImage => ({
    label: labels[Math.floor(i / columns)] ?? 0,
    seed: (seed + i) % Number.MAX_SAFE_INTEGER,
    guidance: classes > 0 ? guidance : 1,
  }));
  const slots = Math.min(
    SLOTS,
    Math.max(requests.length, evaluatesSamples({ grids }) ? grids.evaluationSamples : 0),
  );
  const imageRows = Math.max(...requests.map((image) => networkRows(image)));
  return { requests, columns, labels, sampleSteps, slots, imageRows };
}

/** Batch sizes of the network for a run's grids, if device memory allows; empty without grids. */
export function gridRows(plan: GridPlan): number[] {
  return drawsSamples(plan) ? [generatorRows(planGrid(plan))] : [];
}

/** True if a run draws grids at all. */
export function drawsGrids({ grids }: GridPlan): boolean {
  return grids.sampleEvery !== 0;
}

/** True if a run's samples are evaluated. */
export function evaluatesSamples({ grids }: Pick<RunPlan, "grids">): boolean {
  return grids.evaluateEvery > 0 && grids.evaluationSamples > 0;
}

/** True if a run draws grids, or samples to evaluate. */
export function drawsSamples(plan: GridPlan): boolean {
  return drawsGrids(plan) || evaluatesSamples(plan);
}

/** Draws a run's grids, and samples to evaluate. */
export class SampleGrid {
  readonly #parts: Parts;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Allocates what a run's grids need on the device.
   *
   * @param weights EMA weights, laid out by `ParameterTable`; they may change from grid to grid
   * @param target kernel variants to use; default those for the device
   * @throws {DeviceError} if there is too little memory to draw even one image
   */
  static async build(
    gpu: Gpu,
    run: GridPlan,
    weights: GPUBuffer,
    options: RunEnvironment,
    target?: KernelTarget,
  ): Promise<SampleGrid> {
    const { settings } = run;
    const { requests, columns, labels, sampleSteps, slots, imageRows } = planGrid(run);
    const process = processOf(settings);
    const steps = mostSteps(process, sampleSteps, { sampler: DEFAULT_SAMPLER });
    const plan = planSampling(DEFAULT_SAMPLER, process, { steps });
    const generator = await buildLargest(
      gpu,
      slots,
      (slots) => {
        const { model: config, precision } = settings;
        return Generator.build(gpu, { config, weights, slots, imageRows, target, precision });
      },
    );
    return new SampleGrid({ gpu, settings, options, requests, columns, labels, plan, generator });
  }

  /** Classes that the grids show, in order. */
  get labels(): readonly number[] {
    return this.#parts.labels;
  }

  /** Network evaluations for a grid, counted per image. */
  get evaluations(): number {
    return this.#parts.requests.length * this.evaluationsPerImage;
  }

  /** Network evaluations for an image, guidance included. */
  get evaluationsPerImage(): number {
    const { plan, generator } = this.#parts;
    return plan.length * generator.imageRows;
  }

  /**
   * Draws the grid after an epoch that ended with optimizer step `step`.
   *
   * @returns undefined if the caller's signal came first
   */
  async draw(epoch: number, step: number): Promise<SamplesEvent | WarningEvent | undefined> {
    const { settings, requests, columns, labels, options, plan } = this.#parts;
    const { model } = settings;
    const drawn = await this.sample(requests);
    if (drawn === undefined) return undefined;
    if (!drawn.every(Number.isFinite)) {
      const message =
        `epoch ${epoch}: no sample grid, because images drawn with the EMA weights are not finite`;
      return { type: "warning", message };
    }
    const { classes } = options.data;
    const conditional = classCount(model) > 0;
    const spacing = defaultSpacing(processOf(settings), DEFAULT_SAMPLER);
    const metadata = requests.map(({ label, seed, guidance }): ImageMetadata => ({
      class: labelText(label, conditional ? classes : []),
      seed,
      sampler: DEFAULT_SAMPLER,
      spacing,
      steps: plan.length,
      guidance,
    }));
    const images = Images.fromFloats(drawn, requests.length, ...imageSize(model), metadata);
    const rowLabels = conditional
      ? labels.map((label) => classes[label]!) // the network has as many classes as the data
      : Array.from({ length: requests.length / columns }, () => "");
    return { type: "samples", epoch, step, images, columns, rowLabels };
  }

  /** Frees its device memory. */
  destroy(): void {
    this.#parts.generator.destroy();
  }

  /**
   * Draws images with the run's present weights.
   *
   * @param onProgress called after each step of a batch, with the steps done and their total
   * @returns shape [count, H, W, C]; undefined if the caller's signal came first
   */
  async sample(
    requests: readonly SlotImage[],
    onProgress: (done: number, total: number) => void = () => {},
  ): Promise<Float32Array | undefined> {
    const { gpu, options: { signal }, generator, plan } = this.#parts;
    const interruption = new Error("interrupted");
    const pace = new Pace();
    const onStep = async (done: number, total: number) => {
      pace.submitted();
      if (pace.due) {
        await settle(gpu);
        pace.waited();
      }
      onProgress(done, total);
      if (signal?.aborted) throw interruption;
    };
    try {
      return (await generator.draw(requests, plan, { onStep })).images;
    } catch (error) {
      if (error === interruption) return undefined;
      throw error;
    }
  }
}

/** Builds with as many slots as device memory allows, halving them after each failure. */
async function buildLargest<T>(gpu: Gpu, slots: number, build: (slots: number) => Promise<T>): Promise<T> {
  try {
    return await build(slots);
  } catch (error) {
    // A failed device stays failed, with any number of slots.
    if (!(error instanceof DeviceError) || slots === 1 || gpu.fault) throw error;
    return await buildLargest(gpu, Math.ceil(slots / 2), build);
  }
}
