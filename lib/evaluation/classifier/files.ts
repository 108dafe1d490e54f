/**
 * Files of a classifier: `config.json` with its network, classes and training, and `model.safetensors` in float16.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../../errors.ts";
import { readModelFile, sha256 } from "../../files/checkpoint_files.ts";
import { encodeJson } from "../../files/pipeline_files.ts";
import { type Files, parseJson } from "../../files/pipeline_files.ts";
import { writeDirectoryDurable } from "../../files/durable.ts";
import { toFloat32 } from "../../files/dtypes.ts";
import { decodeWeights, encodeWeights, type StateTensor } from "../../files/weights.ts";
import type { HostTensor } from "../../model/parameters.ts";
import { type ClassifierConfig, classifierConfigFromJson, classifierConfigToJson } from "./config.ts";

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";

/** A classifier's files, read. */
export interface ClassifierFiles {
  readonly config: ClassifierConfig;
  /** Weights by checkpoint key. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** SHA-256 of the weight file in hex, by which features computed with it are known. */
  readonly digest: string;
}

/**
 * Writes a classifier's directory.
 *
 * @param training how it was trained, for readers
 * @throws {CheckpointError} if a weight does not fit float16, or the directory cannot be written
 */
export async function writeClassifier(
  directory: string,
  config: ClassifierConfig,
  tensors: ReadonlyMap<string, HostTensor>,
  training: Readonly<Record<string, unknown>>,
): Promise<void> {
  const halves = new Map<string, StateTensor>();
  for (const [name, { shape, data }] of tensors) {
    const half = new Float16Array(data);
    if (!half.every(Number.isFinite)) {
      throw new CheckpointError(`${directory}: tensor ${JSON.stringify(name)} has a weight beyond float16`);
    }
    halves.set(name, { shape: [...shape], data: half });
  }
  const files: Files = new Map([
    [CONFIG, encodeJson({ ...classifierConfigToJson(config), training }, CONFIG)],
    [WEIGHTS, await encodeWeights(halves)],
  ]);
  await writeDirectoryDurable(directory, files);
}

/**
 * Reads a classifier's directory.
 *
 * @throws {CheckpointError} naming the file that is missing, damaged or of another kind
 */
export async function readClassifier(directory: string): Promise<ClassifierFiles> {
  const [configPath, weightsPath] = [join(directory, CONFIG), join(directory, WEIGHTS)] as const;
  const json = parseJson(await readModelFile(configPath), configPath);
  let config: ClassifierConfig;
  try {
    config = classifierConfigFromJson(json);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CheckpointError(`${configPath}: no classifier's configuration: ${error.message}`);
  }
  const bytes = await readModelFile(weightsPath);
  const file = await decodeWeights(bytes, weightsPath);
  const tensors = new Map([...file.tensors].map(([name, tensor]): [string, HostTensor] => [
    name,
    { shape: tensor.shape, data: toFloat32(tensor, `${weightsPath}: tensor ${JSON.stringify(name)}`) },
  ]));
  return { config, tensors, digest: sha256(bytes) };
}
