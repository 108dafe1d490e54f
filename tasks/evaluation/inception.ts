/**
 * FID, KID and Inception score in `deno task evaluate`.
 *
 * @module
 */
import { FEATURE_DIRECTORY } from "../../lib/evaluation/feature_cache.ts";
import { InceptionV3 } from "../../lib/evaluation/inception/inception_v3.ts";
import { measureInception } from "../../lib/evaluation/inception/measures.ts";
import { inceptionReference } from "../../lib/evaluation/inception/reference.ts";
import { evenSubset } from "../../lib/evaluation/subsets.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import type { Reporter } from "../../terminal/progress.ts";
import type { EvaluationData } from "../run_data.ts";
import type { EvaluateFlags } from "./flags.ts";
import type { InceptionResult } from "./output.ts";

/** Loads InceptionV3, if its weights are given. */
export async function loadInception(
  gpu: Gpu,
  { inception, preprocessing }: EvaluateFlags,
  report: Reporter,
): Promise<InceptionV3 | undefined> {
  if (inception === undefined) return undefined;
  const onWarning = (message: string) => report.line(`warning: ${message}`);
  return await InceptionV3.load(gpu, inception, { ...preprocessing ? { preprocessing } : {}, onWarning });
}

/**
 * Measures samples, and as many test images, against the training images.
 *
 * @param samples bytes of `count` images of the size of the data
 * @returns null after an interruption; what was computed of the training images is kept
 */
export async function measureByInception(
  network: InceptionV3,
  samples: Uint8Array,
  { train, test, heldOut }: EvaluationData,
  report: Reporter,
  signal: AbortSignal,
): Promise<InceptionResult | null> {
  const { height, width } = train;
  const perImage = height * width * 3;
  const count = samples.length / perImage;
  const shown = async <T>(images: number, name: string, work: (onProgress: (done: number) => void) => T) => {
    report.start(images, `Inception's features of ${name}`);
    const result = await work((done) => report.update(done));
    report.stop();
    return result;
  };
  const featuresOf = (pixels: Uint8Array, name: string) => {
    const images = { pixels, count: pixels.length / perImage, height, width };
    return shown(images.count, name, (onProgress) => network.features(images, { onProgress, signal }));
  };
  try {
    const reference = await shown(
      train.count,
      "training images",
      (onProgress) => inceptionReference(network, train, FEATURE_DIRECTORY, { onProgress, signal }),
    );
    const some = test.images.read(evenSubset(test.count, count));
    return {
      digest: network.digest,
      preprocessing: network.preprocessing,
      samples: measureInception(await featuresOf(samples, "samples"), reference),
      testImages: measureInception(await featuresOf(some, `${heldOut} images`), reference),
    };
  } catch (error) {
    if (!signal.aborted) throw error;
    report.stop();
    report.line("interrupted: no FID; the same command goes on with the features of training images");
    return null;
  }
}
