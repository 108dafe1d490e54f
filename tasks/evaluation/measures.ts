/**
 * Measures of samples in the features of the classifier, for `deno task evaluate`.
 *
 * @module
 */
import type { ImageDataset } from "../../mod.ts";
import type { Classifier } from "../../lib/evaluation/classifier/classifier.ts";
import type { Classified } from "../../lib/evaluation/classifier/pass.ts";
import { cachedFeatures, FEATURE_DIRECTORY } from "../../lib/evaluation/feature_cache.ts";
import { featuresOf } from "../../lib/evaluation/features.ts";
import { measureImages, referenceOf } from "../../lib/evaluation/image_measures.ts";
import { type NearestSummary, nearestTraining } from "../../lib/evaluation/memorisation.ts";
import { evenSubset } from "../../lib/evaluation/subsets.ts";
import type { Reporter } from "../../terminal/progress.ts";
import type { EvaluateFlags } from "./flags.ts";
import type { EvaluationResult } from "./output.ts";
import type { EvaluationData } from "../run_data.ts";
import { type Drawing, sameClasses } from "./samples.ts";

/** Seconds of each part of the work. */
export class PartTimes {
  readonly seconds: Record<string, number> = {};

  async time<T>(part: string, work: () => Promise<T> | T): Promise<T> {
    const began = performance.now();
    try {
      return await work();
    } finally {
      this.seconds[part] = Math.round(performance.now() - began) / 1000;
    }
  }
}

/** What is measured, and with what. */
export interface Measuring {
  readonly directory: string;
  readonly flags: EvaluateFlags;
  readonly classifier: Classifier;
  readonly drawing: Drawing;
  readonly data: EvaluationData;
  readonly report: Reporter;
  readonly times: PartTimes;
  readonly signal: AbortSignal;
}

/** A result with what its pictures show. */
export interface Measured extends Omit<EvaluationResult, "inception"> {
  readonly neighbours: { readonly samples: NearestSummary; readonly test: NearestSummary };
}

/**
 * Measures samples, and as many test images, against the training images.
 *
 * @returns undefined after an interruption; features that were computed are kept
 */
export async function measureSamples(
  { directory, flags, classifier, drawing, data: { train, test, heldOut }, report, times, signal }: Measuring,
): Promise<Omit<Measured, "adapter" | "command"> | undefined> {
  const width = classifier.featureCount;
  const { classes } = classifier.config;
  const shown = async <T>(
    count: number,
    name: string,
    work: (onBatch: (done: number) => void) => Promise<T>,
  ) => {
    report.start(count, `features of ${name}`);
    try {
      return await work((done) => report.update(done));
    } finally {
      report.stop();
    }
  };
  const ofData = (data: ImageDataset, name: string): Promise<Classified> =>
    shown(
      data.count,
      name,
      (onBatch) => cachedFeatures(classifier, data, FEATURE_DIRECTORY, { onBatch, signal }),
    );
  let features: readonly [Classified, Classified, Classified];
  try {
    features = await times.time("features", async () => [
      await ofData(train, "training images"),
      await ofData(test, `${heldOut} images`),
      await shown(drawing.count, "samples", (onBatch) =>
        classifier.run(drawing.images, (done) => {
          signal.throwIfAborted();
          onBatch(done);
        })),
    ]);
  } catch (error) {
    if (!signal.aborted) throw error;
    return undefined;
  }
  const [ofTrain, ofTest, ofSamples] = features;
  report.line("comparing the samples with training images");
  return await times.time("comparison", () => {
    const reference = referenceOf(ofTrain, width);
    const labels = sameClasses(drawing.classes, classes) ? drawing.labels : null;
    // As many test images as samples, since the measures depend on the number.
    const chosen = evenSubset(test.count, drawing.count);
    const some = selectRows(ofTest, chosen, width, classes.length);
    const training = featuresOf(ofTrain.features, width);
    return {
      model: { path: directory, digest: drawing.modelDigest, classes: drawing.classes },
      data: { name: train.name, digest: train.digest, images: train.count, heldOut },
      classifier: { digest: classifier.digest, features: width },
      settings: drawing.settings,
      samples: measureImages(ofSamples, classes.length, reference, labels),
      testImages: measureImages(some, classes.length, reference, chosen.map((i) => test.labels[i]!)),
      neighbours: {
        samples: nearestTraining(featuresOf(ofSamples.features, width), training),
        test: nearestTraining(featuresOf(ofTest.features, width), training),
      },
      images: flags.images,
      seconds: times.seconds,
    };
  });
}

function selectRows(
  { features, probabilities }: Classified,
  indices: Uint32Array,
  width: number,
  classes: number,
): Classified {
  const rows = (values: Float32Array, size: number) => {
    const selected = new Float32Array(indices.length * size);
    indices.forEach((index, i) => selected.set(values.subarray(index * size, (index + 1) * size), i * size));
    return selected;
  };
  return { features: rows(features, width), probabilities: rows(probabilities, classes) };
}
