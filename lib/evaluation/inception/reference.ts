/**
 * Statistics of data sets in the features of InceptionV3, computed once and kept in a directory under the digests of weights
 * and images.
 *
 * @module
 */
import type { ImageDataset } from "../../data/dataset.ts";
import type { SafeTensor } from "../../files/dtypes.ts";
import { featuresOf, selectFeatures } from "../features.ts";
import { KeptResult } from "../kept_tensors.ts";
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
  { onProgress, signal }: FeatureOptions = {},
): Promise<InceptionReference> {
  const [weights, images] = [network.digest, data.digest].map((digest) => digest.slice(0, 16));
  const kept = new KeptResult(directory, `inception-${network.preprocessing}-${weights}-${images}`);
  const { height, width: columns, count, images: stored } = data;
  const present = await kept.read((tensors) => referenceFrom(tensors, count));
  if (present) return present;
  const { pool3 } = await kept.parts({
    ...{ names: ["pool3"], count, part: PART, onPart: (done) => onProgress?.(done, count) },
    compute: async (first, last) => {
      const part = { pixels: stored.range(first, last), count: last - first };
      const { pool3 } = await network.features({ ...part, height, width: columns }, {
        signal,
        onProgress: (done) => onProgress?.(first + done, count),
      });
      return { pool3 };
    },
  });
  const features = featuresOf(pool3, pool3.length / data.count);
  const moments = featureMoments(features);
  const some = selectFeatures(features, evenSubset(data.count, KEPT));
  const { width } = features;
  await kept.write({
    mean: { shape: [width], data: moments.mean },
    covariance: { shape: [width, width], data: moments.covariance },
    features: { shape: [some.count, width], data: Float32Array.from(some.values) },
  });
  return { moments, some };
}

function referenceFrom(
  tensors: ReadonlyMap<string, SafeTensor>,
  count: number,
): InceptionReference | undefined {
  const [mean, covariance, features] = ["mean", "covariance", "features"].map((name) =>
    tensors.get(name)?.data
  );
  const typed = mean instanceof Float64Array && covariance instanceof Float64Array &&
    features instanceof Float32Array;
  if (!typed) return undefined;
  const width = mean.length;
  const fit = width > 0 && covariance.length === width ** 2 &&
    features.length === width * Math.min(KEPT, count);
  return fit ? { moments: { count, mean, covariance }, some: featuresOf(features, width) } : undefined;
}
