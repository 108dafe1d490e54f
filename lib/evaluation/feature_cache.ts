/**
 * Features of data sets, computed once and kept in a directory under the digests of classifier and images.
 *
 * @module
 */
import { join } from "node:path";
import type { ImageDataset } from "../data/dataset.ts";
import type { Classified } from "./classifier/pass.ts";
import { KeptResult, rowsOf, tensorsOf } from "./kept_tensors.ts";

/** Directory of the tasks' cache, relative to the current directory. */
export const FEATURE_DIRECTORY: string = join(".cache", "features");

/** Source of features: a classifier, known by its digest. */
export interface FeatureSource {
  /** In hex. */
  readonly digest: string;
  run(images: Uint8Array, onBatch?: (done: number) => void | Promise<void>): Promise<Classified>;
}

const NAMES = ["features", "probabilities"] as const;

/** Images of a part, which is kept until all are done. */
const PART = 5000;

/** Options of {@linkcode cachedFeatures}. */
export interface CachedFeaturesOptions {
  /** Called after each batch that is computed, with the number of images done. */
  readonly onBatch?: (done: number) => void | Promise<void>;
  /** Ends the computation after the batch under way. */
  readonly signal?: AbortSignal;
}

/**
 * Features and probabilities of a data set's images, read from the cache or computed and kept there. After an interruption the
 * next call goes on with the part that this one was in.
 *
 * @throws the reason of `signal`
 * @throws {CheckpointError} if the cache cannot be written
 */
export async function cachedFeatures(
  source: FeatureSource,
  { digest, images, count }: Pick<ImageDataset, "digest" | "images" | "count">,
  directory: string,
  { onBatch, signal }: CachedFeaturesOptions = {},
): Promise<Classified> {
  const kept = new KeptResult(directory, `${source.digest.slice(0, 16)}-${digest.slice(0, 16)}`);
  const present = await kept.read((tensors) => rowsOf<Classified>(tensors, NAMES, count));
  if (present) return present;
  const classified = await kept.parts<Classified>({
    ...{ names: NAMES, count, part: PART, onPart: onBatch },
    compute: (first, last) =>
      source.run(images.range(first, last), async (done) => {
        signal?.throwIfAborted();
        await onBatch?.(first + done);
      }),
  });
  await kept.write(tensorsOf(classified, NAMES, count));
  return classified;
}
