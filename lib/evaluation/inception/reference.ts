/**
 * Statistics of data sets in the features of InceptionV3, computed once and kept in a directory under the digests of weights
 * and images.
 *
 * @module
 */
import { join } from "node:path";
import type { ImageDataset } from "../../data/dataset.ts";
import { CheckpointError } from "../../errors.ts";
import { readModelFile } from "../../files/checkpoint_files.ts";
import { exists, writeDurable } from "../../files/durable.ts";
import type { SafeTensor } from "../../files/safetensors.ts";
import { decodeWeights, encodeWeights, type StateTensor } from "../../files/weights.ts";
import { featuresOf, selectFeatures } from "../features.ts";
import { featureMoments } from "../moments.ts";
import { evenSubset } from "../subsets.ts";
import type { FeatureOptions, InceptionV3 } from "./inception_v3.ts";
import type { InceptionReference } from "./measures.ts";

/** Images whose features are kept for kernel distances; those of all would take 400 MB for CIFAR-10. */
const KEPT = 10_000;

/** Images of a part, which is kept until all are done, so that an interrupted computation goes on. */
const PART = 1000;

/** The network, or what stands for it in a test. */
type Network = Pick<InceptionV3, "digest" | "preprocessing" | "features">;

/** Images of a data set. */
type Data = Pick<ImageDataset, "images" | "count" | "height" | "width" | "digest">;

/**
 * Statistics of a data set's images, read from the directory or computed and kept there. After an interruption the next call
 * goes on where this one ended.
 *
 * @throws {ConfigError} for fewer than two images
 * @throws {CheckpointError} if the directory cannot be written
 */
export async function inceptionReference(
  network: Network,
  data: Data,
  directory: string,
  options: FeatureOptions = {},
): Promise<InceptionReference> {
  const [weights, images] = [network.digest, data.digest].map((digest) => digest.slice(0, 16));
  const name = `inception-${network.preprocessing}-${weights}-${images}`;
  const path = join(directory, `${name}.safetensors`);
  const kept = referenceFrom(await readKept(path), data.count);
  if (kept) return kept;
  const parts = join(directory, `${name}.parts`);
  const pool3 = await featuresByPart(network, data, parts, options);
  const features = featuresOf(pool3, pool3.length / data.count);
  const moments = featureMoments(features);
  const some = selectFeatures(features, evenSubset(data.count, KEPT));
  const { width } = features;
  await writeKept(path, {
    mean: { shape: [width], data: moments.mean },
    covariance: { shape: [width, width], data: moments.covariance },
    features: { shape: [some.count, width], data: Float32Array.from(some.values) },
  });
  await Deno.remove(parts, { recursive: true });
  return { moments, some };
}

/** Features of all images, of which parts may be done. */
async function featuresByPart(
  network: Network,
  { images, count, height, width }: Data,
  directory: string,
  { onProgress, signal }: FeatureOptions,
): Promise<Float32Array> {
  const perImage = height * width * 3;
  const parts: Float32Array[] = [];
  for (let first = 0; first < count; first += PART) {
    const last = Math.min(count, first + PART);
    const path = join(directory, `${String(first).padStart(8, "0")}.safetensors`);
    let pool3 = (await readKept(path))?.get("features")?.data;
    if (!(pool3 instanceof Float32Array)) {
      const pixels = images.subarray(first * perImage, last * perImage);
      const part = await network.features({ pixels, count: last - first, height, width }, {
        signal,
        onProgress: (done) => onProgress?.(first + done, count),
      });
      pool3 = part.pool3;
      const shape = [last - first, pool3.length / (last - first)];
      await writeKept(path, { features: { shape, data: pool3 } });
    }
    await onProgress?.(last, count);
    parts.push(pool3);
  }
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function referenceFrom(
  tensors: ReadonlyMap<string, SafeTensor> | undefined,
  count: number,
): InceptionReference | undefined {
  const [mean, covariance, features] = ["mean", "covariance", "features"].map((name) =>
    tensors?.get(name)?.data
  );
  const valid = mean instanceof Float64Array && covariance instanceof Float64Array &&
    features instanceof Float32Array;
  return valid
    ? { moments: { count, mean, covariance }, some: featuresOf(features, mean.length) }
    : undefined;
}

/** Tensors of a file; a missing or damaged one is computed again. */
async function readKept(path: string): Promise<ReadonlyMap<string, SafeTensor> | undefined> {
  if (!await exists(path)) return undefined;
  try {
    return decodeWeights(await readModelFile(path), path).tensors;
  } catch (error) {
    if (error instanceof CheckpointError) return undefined;
    throw error;
  }
}

async function writeKept(path: string, tensors: Record<string, StateTensor>): Promise<void> {
  await writeDurable(path, encodeWeights(new Map(Object.entries(tensors))));
}
