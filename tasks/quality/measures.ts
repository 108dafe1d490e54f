/**
 * Measures of `deno task quality`: images against the test images, with standard errors, and what the tables' heads say.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { describeEnvironment } from "../../bench/environment.ts";
import type { QualityHead, QualityMeasures } from "../../bench/quality.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { ImageDataset } from "../../lib/data/dataset.ts";
import { classConsistency } from "../../lib/evaluation/class_scores.ts";
import type { Classifier } from "../../lib/evaluation/classifier/classifier.ts";
import type { Classified } from "../../lib/evaluation/classifier/pass.ts";
import { cachedFeatures, FEATURE_DIRECTORY } from "../../lib/evaluation/feature_cache.ts";
import { featuresOf, selectFeatures } from "../../lib/evaluation/features.ts";
import { frechetDistance } from "../../lib/evaluation/frechet_distance.ts";
import { type ReferenceFeatures, referenceOf } from "../../lib/evaluation/image_measures.ts";
import { jackknifeErrors } from "../../lib/evaluation/jackknife.ts";
import { kernelDistance } from "../../lib/evaluation/kernel_distance.ts";
import { featureMoments } from "../../lib/evaluation/moments.ts";
import { evenSubset } from "../../lib/evaluation/subsets.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { shellQuote } from "../../lib/shell.ts";
import type { Reporter } from "../../terminal/progress.ts";

/** Measures a set of images; `labels` is null for images without classes of the classifier. */
export type MeasureImages = (
  images: Uint8Array,
  labels: ArrayLike<number> | null,
) => Promise<QualityMeasures>;

/** Prepares measures against the test images, whose features are computed once. */
export async function measureAgainstTest(
  test: ImageDataset,
  classifier: Classifier,
  report: Reporter,
): Promise<MeasureImages> {
  report.start(test.count, "features of test images");
  const ofTest = await cachedFeatures(classifier, test, FEATURE_DIRECTORY, {
    onBatch: (done) => report.update(done),
  });
  report.stop();
  const reference = referenceOf(ofTest, classifier.featureCount);
  const classes = classifier.config.classes.length;
  return async (images, labels) => measureSet(await classifier.run(images), reference, labels, classes);
}

/** Measures of as many test images, evenly spaced: how good a score can be. */
export async function measureTest(
  test: ImageDataset,
  count: number,
  measure: MeasureImages,
): Promise<QualityMeasures & { readonly saturated: number }> {
  const chosen = evenSubset(test.count, count);
  const images = test.images.read(chosen);
  const measures = await measure(images, chosen.map((i) => test.labels[i]!));
  return { ...measures, saturated: saturatedShare(images) };
}

/** Share of the values of images that are at an end of their range, 0 or 255. */
export function saturatedShare(images: Uint8Array): number {
  let count = 0;
  for (const value of images) if (value === 0 || value === 255) count++;
  return count / images.length;
}

/**
 * Measures of images whose classes are in turn, with standard errors by leaving out a round of all classes each.
 *
 * @param labels class of each image; null for an unconditional model
 */
export function measureSet(
  { features, probabilities }: Classified,
  reference: ReferenceFeatures,
  labels: ArrayLike<number> | null,
  classes: number,
): QualityMeasures {
  const rows = featuresOf(features, reference.features.width);
  const estimate = (indices: Uint32Array) => {
    const chosen = selectFeatures(rows, indices);
    const own = Array.from(indices);
    const of = own.flatMap((i) => [...probabilities.subarray(i * classes, (i + 1) * classes)]);
    return [
      frechetDistance(featureMoments(chosen), reference.moments),
      kernelDistance(chosen, reference.features).mean,
      ...labels ? [classConsistency(of, classes, own.map((i) => labels[i]!))] : [],
    ];
  };
  const values = estimate(Uint32Array.from({ length: rows.count }, (_, i) => i));
  const errors = jackknifeErrors(rows.count, classes, estimate);
  const measure = (i: number) => ({ value: values[i]!, error: errors?.[i] ?? null });
  return {
    images: rows.count,
    frechetDistance: measure(0),
    kernelDistance: measure(1),
    classConsistency: labels && measure(2),
  };
}

/** The head's parts that differ between the calls which fill a table. */
type OwnHead = Pick<QualityHead, "environment" | "version" | "commands">;

/**
 * Checks that a file's table, if there is one, agrees with a new one.
 *
 * @param fixed what all rows of the file have in common
 * @param present the table that the file has
 * @throws {ConfigError} naming the first value that differs
 */
export function checkSameTable<T extends object>(out: string, fixed: T, present: T | undefined): void {
  for (const [name, value] of Object.entries(fixed)) {
    if (!present || JSON.stringify(present[name as keyof T]) === JSON.stringify(value)) continue;
    throw new ConfigError("out", out, `another file: it has a table with another ${name}`);
  }
}

/**
 * Head of a table in a file, new or to be added to.
 *
 * @param fixed what all rows of the file have in common
 * @param present the table that the file has
 * @throws {ConfigError} if the file's table has other values of these, or another environment
 */
export function tableHead<T extends Omit<QualityHead, keyof OwnHead>>(
  { gpu, out, command, fixed, present }: {
    readonly gpu: Gpu;
    readonly out: string;
    readonly command: readonly string[];
    readonly fixed: T;
    readonly present: (OwnHead & T) | undefined;
  },
): OwnHead & T {
  const { adapter, driver, deno, threads, date } = describeEnvironment(gpu);
  const environment = { adapter: adapter.name, driver, deno, threads };
  checkSameTable(out, fixed, present);
  checkSameTable(out, environment, present?.environment);
  return {
    environment: { ...environment, date: date.slice(0, 10) },
    version: project.version,
    commands: [...new Set([...present?.commands ?? [], command.map(shellQuote).join(" ")])],
    ...fixed,
  };
}

/** A data set, as tables name it. */
export function describeData(
  { name, digest, count }: ImageDataset,
): { name: string; digest: string; images: number } {
  return { name, digest, images: count };
}

/** Path as in a command from the project's root, where it is inside. */
export function shownPath(path: string): string {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  return path.startsWith(root) ? path.slice(root.length) : path;
}
