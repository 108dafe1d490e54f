/**
 * Likelihood and denoising loss in `deno task evaluate`: progress, and sums that are kept when it is interrupted.
 *
 * @module
 */
import { ConfigError, type DDPM, type ImageDataset } from "../../mod.ts";
import { evaluateLikelihood } from "../../lib/evaluation/likelihood.ts";
import { planLikelihood } from "../../lib/evaluation/likelihood_plan.ts";
import { type Likelihood, likelihoodOf } from "../../lib/evaluation/likelihood_result.ts";
import { LikelihoodStore } from "../../lib/evaluation/likelihood_store.ts";
import { boundSteps } from "../../lib/evaluation/variational_bound.ts";
import { hasNullClass } from "../../lib/sampling/class_choice.ts";
import type { Reporter } from "../../terminal/progress.ts";

/** Size of an evaluation. */
export interface LikelihoodSize {
  /** Test images. */
  readonly images: number;
  /** Network passes for each image, besides the decoder's. */
  readonly terms: number;
  readonly seed: number;
  /** Images of a pass. */
  readonly batch: number;
}

/** Flags that say how much is evaluated. */
export interface LikelihoodFlags {
  readonly likelihoodImages?: number;
  readonly terms?: number;
  readonly seed: number;
  readonly batch: number;
}

/**
 * Size of an evaluation. By default, minutes on two CPU cores for preset `small`, and all test images on a GPU.
 *
 * @param software true without a GPU
 * @throws {ConfigError} for more images than there are
 */
export function likelihoodSize(
  { likelihoodImages, terms, seed, batch }: LikelihoodFlags,
  software: boolean,
  model: Pick<DDPM, "schedule">,
  { count }: ImageDataset,
): LikelihoodSize {
  if (likelihoodImages !== undefined && likelihoodImages > count) {
    throw new ConfigError("--likelihood-images", likelihoodImages, `at most ${count}, the test images`);
  }
  const most = boundSteps(model.schedule).levels.length - 1;
  return {
    images: likelihoodImages ?? Math.min(software ? 100 : count, count),
    terms: terms ?? Math.min(software ? 20 : 100, most),
    seed,
    batch,
  };
}

/** Likelihood of images given their classes (`class-conditional`), or without them (`unconditional`). */
export interface ConditionedLikelihood extends Likelihood {
  readonly condition: string;
}

/** An evaluation of the likelihood, complete or not. */
export interface MeasuredLikelihood {
  readonly complete: boolean;
  /** Of the images so far; undefined if there is none. */
  readonly result: ConditionedLikelihood | undefined;
}

/**
 * Evaluates the likelihood of test images, and keeps the sums after every batch; those that a directory has already are not
 * computed again.
 *
 * @param out directory of the results
 * @param modelDigest of the model's weights
 * @throws {ConfigError} for an option out of range, or a model whose classes the data lacks
 * @throws {ShapeError} for images of another size
 */
export async function measureLikelihood(
  model: DDPM,
  modelDigest: string,
  data: ImageDataset,
  out: string,
  { images, terms, seed, batch }: LikelihoodSize,
  report: Reporter,
  signal: AbortSignal,
): Promise<MeasuredLikelihood> {
  const plan = planLikelihood(model.schedule, data, { images, terms, seed });
  const { labels, condition } = labelsFor(model, data);
  const store = new LikelihoodStore(out, plan, {
    ...{ model: modelDigest, precision: model.precision, condition },
    objective: model.schedule.objective,
  });
  const sums = await store.read(plan);
  const rows = Math.min(batch, images);
  const pass = await model.startDenoising({ rows, passes: Math.ceil(images / rows) * (terms + 1) });
  let kept = sums.bits.length;
  report.start(images * (terms + 1), "likelihood, network passes", kept * (terms + 1));
  for await (const progress of evaluateLikelihood(pass, plan, sums, { labels, signal })) {
    report.update(progress.evaluations);
    if (progress.images === kept) continue;
    kept = progress.images;
    await store.write(sums);
  }
  report.stop();
  const result = kept > 0 ? { condition, ...likelihoodOf(plan, sums) } : undefined;
  return { complete: kept === images, result };
}

/** Classes that the images are evaluated with: their own if the model knows them, else none. */
function labelsFor(
  model: DDPM,
  { labels, classes }: ImageDataset,
): { labels: ArrayLike<number>; condition: string } {
  if (model.classes.length === 0) return { labels, condition: "unconditional" };
  if (classes.length === model.classes.length && classes.every((name, i) => name === model.classes[i])) {
    return { labels, condition: "class-conditional" };
  }
  if (hasNullClass(model)) {
    return { labels: labels.map(() => model.classes.length), condition: "unconditional" };
  }
  throw new ConfigError("model", model.path, `a model of the data's classes, ${classes.join(", ")}`);
}
