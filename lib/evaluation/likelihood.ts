/**
 * Likelihood of images under a model, by the variational bound, and the model's denoising loss by timestep, from the same
 * network passes.
 *
 * The bound is a sum over hundreds of timesteps; of each stratum of them (`strata.ts`) and for each image one timestep is
 * drawn, and counts for all. The estimate is unbiased, and its standard error follows from the spread over the images.
 *
 * @module
 */
import type { DenoisingError } from "../../kernels/records/evaluation.ts";
import type { ImageDataset } from "../data/dataset.ts";
import { ShapeError } from "../errors.ts";
import { imageChannels, imageSize } from "../model/config.ts";
import type { DenoisingPass } from "../sampling/denoising_pass.ts";
import { drawLevels, type LikelihoodPlan } from "./likelihood_plan.ts";
import { addImage, type ImageResult, type LikelihoodSums } from "./likelihood_result.ts";

/** The network of an evaluation: what it uses of {@linkcode DenoisingPass}. */
export type Denoiser = Pick<
  DenoisingPass,
  "config" | "rows" | "full" | "load" | "run" | "readErrors" | "readEstimates" | "readLogRatios"
>;

/** Progress of an evaluation. */
export interface LikelihoodProgress {
  /** Images in the sums. */
  readonly images: number;
  /** Evaluations of the network done, counted per image. */
  readonly evaluations: number;
  /** Evaluations in all. */
  readonly total: number;
}

/**
 * Evaluates the images that are not in the sums yet, a batch at a time. Results have the same bits for any size of batch, and
 * whether the evaluation was interrupted or not.
 *
 * @param denoiser the model
 * @param plan of {@linkcode planLikelihood}, for the model's process
 * @param sums of the images before; updated with each batch
 * @param options `labels`: class of each image of the data, for a class-conditional model; `signal`: ends it within a pass,
 *   without the images of the present batch
 * @throws {ShapeError} if the data has images of another size than the model, or a learned variance is not predicted
 * @returns yields progress after each pass of the network
 *
 * @example
 * ```ts ignore
 * const model = await DDPM.load("runs/cats");
 * const plan = planLikelihood(model.schedule, await cifar10({ split: "test" }), { images: 100, terms: 20 });
 * const sums = emptyLikelihoodSums(plan);
 * for await (const progress of evaluateLikelihood(await model.startDenoising({ rows: 50 }), plan, sums)) {
 *   console.log(progress.evaluations / progress.total);
 * }
 * console.log(likelihoodOf(plan, sums).bitsPerDimension);
 * ```
 */
export async function* evaluateLikelihood(
  denoiser: Denoiser,
  plan: LikelihoodPlan,
  sums: LikelihoodSums,
  { labels = plan.data.labels, signal }: { labels?: ArrayLike<number>; signal?: AbortSignal } = {},
): AsyncGenerator<LikelihoodProgress, void, undefined> {
  checkSize(denoiser, plan.data);
  checkVariance(denoiser, plan);
  const perImage = plan.strata.length + 1;
  const total = plan.indices.length * perImage;
  while (sums.bits.length < plan.indices.length) {
    const done = sums.bits.length;
    const images = plan.indices.subarray(done, done + denoiser.rows);
    const passes = evaluateBatch(denoiser, plan, images, labels, signal);
    let pass = await passes.next();
    for (; !pass.done; pass = await passes.next()) {
      yield { images: done, evaluations: done * perImage + pass.value * images.length, total };
    }
    if (pass.value === undefined) return;
    for (const result of pass.value) addImage(plan, sums, result);
    yield { images: sums.bits.length, evaluations: sums.bits.length * perImage, total };
  }
}

function checkSize({ config }: Denoiser, { height, width, channels }: ImageDataset): void {
  const [modelHeight, modelWidth] = imageSize(config);
  if (modelHeight === height && modelWidth === width && imageChannels(config) === channels) return;
  throw new ShapeError(
    `the model is for images of ${modelWidth}x${modelHeight}x${
      imageChannels(config)
    }, the data has ${width}x${height}x${channels}`,
  );
}

function checkVariance(
  { config }: Denoiser,
  { variance }: LikelihoodPlan,
): void {
  const wanted = 2 * imageChannels(config);
  if (variance !== "learned_range" || config.outChannels === wanted) return;
  throw new ShapeError(
    `a learned variance needs ${wanted} output channels, the model has ${config.outChannels}`,
  );
}

/** Evaluates some images; yields the passes done, and returns undefined if the signal came first. */
async function* evaluateBatch(
  denoiser: Denoiser,
  plan: LikelihoodPlan,
  images: Uint32Array,
  labels: ArrayLike<number>,
  signal: AbortSignal | undefined,
): AsyncGenerator<number, ImageResult[] | undefined, undefined> {
  const [height, width] = imageSize(denoiser.config);
  const size = height * width * imageChannels(denoiser.config);
  const bytes = plan.data.images.read(images);
  denoiser.load(bytes, Array.from(images, (index) => labels[index]!)); // a label for each image
  const draws = Array.from(images, (image) => drawLevels(plan, image));
  const errors: DenoisingError[] = [];
  let decoded = new Float32Array();
  let logRatios: Float32Array | undefined = undefined;
  for (let k = 0; k <= plan.strata.length; k++) {
    if (signal?.aborted) {
      await denoiser.readErrors();
      return undefined;
    }
    if (denoiser.full) errors.push(...await denoiser.readErrors());
    const noised = Array.from(images, (image, i) => {
      const { index } = draws[i]![k]!; // a draw for each image and stratum
      return { image, index, level: plan.levels[index]!, logRatio: plan.logRatios[index]! };
    });
    await denoiser.run(noised, plan.seed);
    if (k === 0) {
      decoded = await denoiser.readEstimates();
      if (plan.variance === "learned_range") logRatios = await denoiser.readLogRatios();
    }
    if (k < plan.strata.length) yield k + 1;
  }
  errors.push(...await denoiser.readErrors());
  return draws.map((ofImage, i) => ({
    bytes: bytes.subarray(i * size, (i + 1) * size),
    estimate: decoded.subarray(i * size, (i + 1) * size),
    logRatio: logRatios?.subarray(i * size, (i + 1) * size),
    draws: ofImage,
    errors: ofImage.map((_, k) => errors[k * images.length + i]!), // one for each draw
  }));
}
