/**
 * Evaluation of a run's samples as it goes: Fréchet distance and class consistency in the features of a classifier.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import { classCount, imageSize } from "../model/config.ts";
import { inRgb } from "../data/rgb_images.ts";
import { ConfigError } from "../errors.ts";
import { classConsistency } from "../evaluation/class_scores.ts";
import { Classifier } from "../evaluation/classifier/classifier.ts";
import { featuresOf } from "../evaluation/features.ts";
import { frechetDistance } from "../evaluation/frechet_distance.ts";
import { type FeatureMoments, featureMoments } from "../evaluation/moments.ts";
import { evenSubset } from "../evaluation/subsets.ts";
import type { Gpu } from "../gpu/device.ts";
import { Images } from "../image/images.ts";
import type { SlotImage } from "../sampling/slot_image.ts";
import type { SampleMeasures } from "./events.ts";
import type { RunEnvironment } from "./options.ts";
import type { RunPlan } from "./run_plan.ts";
import type { SampleGrid } from "./sample_grid.ts";

/** Training images that samples are compared with, at most: seconds for the classifier on two CPU cores. */
const REFERENCE_IMAGES = 5000;

/** Draws a run's samples and measures them. */
export class SampleEvaluation {
  readonly #plan: RunPlan;
  readonly #data: RunEnvironment["data"];
  readonly #grid: SampleGrid;
  readonly #classifier: Classifier;
  readonly #requests: readonly SlotImage[];
  /** Of the training images; computed at the first evaluation. */
  #reference: FeatureMoments | undefined;

  private constructor(
    plan: RunPlan,
    data: RunEnvironment["data"],
    grid: SampleGrid,
    classifier: Classifier,
  ) {
    const { settings: { model, seed }, grids: { evaluationSamples, guidance } } = plan;
    const classes = classCount(model);
    this.#plan = plan;
    this.#data = data;
    this.#grid = grid;
    this.#classifier = classifier;
    this.#requests = Array.from({ length: evaluationSamples }, (_, i): SlotImage => ({
      label: classes > 0 ? i % classes : 0,
      seed: (seed + i) % Number.MAX_SAFE_INTEGER,
      guidance: classes > 0 ? guidance : 1,
    }));
  }

  /**
   * Loads the classifier.
   *
   * @param grid draws the samples
   * @throws {ConfigError} if there is none, or it takes images of another size
   * @throws {CheckpointError} naming a file of its that is missing or damaged
   * @throws {DeviceError} if there is too little memory
   */
  static async build(
    gpu: Gpu,
    plan: RunPlan,
    { data, classifier: directory }: RunEnvironment,
    grid: SampleGrid,
    target?: KernelTarget,
  ): Promise<SampleEvaluation> {
    const { evaluationSamples } = plan.grids;
    if (directory === undefined) {
      throw new ConfigError("evaluationSamples", evaluationSamples, "0 without a classifier");
    }
    if (evaluationSamples < 2) {
      throw new ConfigError("evaluationSamples", evaluationSamples, "0, or 2 or more");
    }
    const classifier = await Classifier.load(gpu, directory, target);
    const { imageSize: side } = classifier.config;
    const [height, width] = imageSize(plan.settings.model);
    if (height === side && width === side) return new SampleEvaluation(plan, data, grid, classifier);
    classifier.destroy();
    const allowed = `0 for images of ${width}x${height}, since the classifier takes ${side}x${side}`;
    throw new ConfigError("evaluationSamples", evaluationSamples, allowed);
  }

  /** Network evaluations, counted per image. */
  get evaluations(): number {
    return this.#requests.length * this.#grid.evaluationsPerImage;
  }

  /**
   * Draws and measures the samples.
   *
   * @param onProgress called with the network evaluations done
   * @returns undefined if the caller's signal came first; null if they are not finite
   */
  async measure(onProgress: (evaluations: number) => void): Promise<SampleMeasures | null | undefined> {
    const requests = this.#requests;
    const floats = await this.#grid.sample(
      requests,
      (done, total) => onProgress(this.evaluations * done / total),
    );
    if (floats === undefined) return undefined;
    if (!floats.every(Number.isFinite)) return null;
    const size = imageSize(this.#plan.settings.model);
    const { pixels } = Images.fromFloats(floats, requests.length, ...size);
    this.#reference ??= await this.#moments(this.#trainingImages());
    const { features, probabilities } = await this.#classifier.run(pixels);
    const moments = featureMoments(featuresOf(features, this.#classifier.featureCount));
    const { classes } = this.#classifier.config;
    const known = classCount(this.#plan.settings.model) === classes.length &&
      classes.every((name, k) => name === this.#data.classes[k]);
    const labels = requests.map(({ label }) => label as number); // no mixtures
    return {
      count: requests.length,
      frechetDistance: frechetDistance(moments, this.#reference),
      classConsistency: known ? classConsistency(probabilities, classes.length, labels) : null,
    };
  }

  /** Frees its device memory. */
  destroy(): void {
    this.#classifier.destroy();
  }

  async #moments(images: Uint8Array): Promise<FeatureMoments> {
    const { features } = await this.#classifier.run(images);
    return featureMoments(featuresOf(features, this.#classifier.featureCount));
  }

  /** RGB pixels of an even subset of the training images. */
  #trainingImages(): Uint8Array {
    const { images: order, trainImages } = this.#plan;
    const chosen = evenSubset(trainImages, Math.min(trainImages, REFERENCE_IMAGES));
    return inRgb(this.#data).images.read(chosen.map((at) => order[at]!)); // images of the run
  }
}
