/**
 * Features of data sets, computed once and kept in a directory under the digests of classifier and images.
 *
 * @module
 */
import { join } from "node:path";
import type { ImageDataset } from "../data/dataset.ts";
import { CheckpointError } from "../errors.ts";
import { readModelFile } from "../files/checkpoint_files.ts";
import { exists, writeDurable } from "../files/durable.ts";
import { decodeWeights, encodeWeights } from "../files/weights.ts";
import type { Classified } from "./classifier/pass.ts";

/** Directory of the tasks' cache, relative to the current directory. */
export const FEATURE_DIRECTORY: string = join(".cache", "features");

/** Source of features: a classifier, known by its digest. */
export interface FeatureSource {
  /** In hex. */
  readonly digest: string;
  run(images: Uint8Array, onBatch?: (done: number) => void | Promise<void>): Promise<Classified>;
}

/**
 * Features and probabilities of a data set's images, read from the cache or computed and kept there.
 *
 * @param onBatch called after each batch that is computed
 * @throws {CheckpointError} if the cache cannot be written
 */
export async function cachedFeatures(
  source: FeatureSource,
  data: Pick<ImageDataset, "digest" | "images">,
  directory: string,
  onBatch?: (done: number) => void | Promise<void>,
): Promise<Classified> {
  const path = join(directory, `${source.digest.slice(0, 16)}-${data.digest.slice(0, 16)}.safetensors`);
  const kept = await readKept(path);
  if (kept) return kept;
  const classified = await source.run(data.images, onBatch);
  const tensors = Object.entries(classified).map(([name, values]): [string, Stored] => [
    name,
    { shape: [values.length], data: values },
  ]);
  await writeDurable(path, encodeWeights(new Map(tensors)));
  return classified;
}

interface Stored {
  shape: number[];
  data: Float32Array<ArrayBuffer>;
}

/** A missing or damaged file is computed again. */
async function readKept(path: string): Promise<Classified | undefined> {
  if (!await exists(path)) return undefined;
  try {
    const { tensors } = decodeWeights(await readModelFile(path), path);
    const [features, probabilities] = ["features", "probabilities"].map((name) => tensors.get(name)?.data);
    if (!(features instanceof Float32Array && probabilities instanceof Float32Array)) return undefined;
    return { features, probabilities } as Classified;
  } catch (error) {
    if (error instanceof CheckpointError) return undefined;
    throw error;
  }
}
