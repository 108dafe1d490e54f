/**
 * Handing a model on: the files that sampling needs, and nothing of the training.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../errors.ts";
import {
  encodeJson,
  type Files,
  MODEL_INDEX,
  SCHEDULER_CONFIG,
  UNET_CONFIG,
  UNET_WEIGHTS,
} from "./checkpoint_files.ts";
import { type Precision, PRECISIONS } from "../model/precision.ts";
import { writeDirectoryDurable } from "./durable.ts";
import { jsonDigests } from "./json_digests.ts";
import { loadPipeline, type LoadPipelineOptions } from "./pipeline.ts";
import { encodeWeights, type StateTensor, type WeightTensor } from "./weights.ts";

/** How exported weights are stored: 4 bytes each as trained, or rounded to 2 bytes. */
export type ExportPrecision = Precision;

/** Options of {@linkcode exportModel}. */
export interface ExportOptions extends LoadPipelineOptions {
  /** Default `float16`: half the size; a weight changes by at most 2^-11 of itself. */
  readonly precision?: ExportPrecision;
}

/** What {@linkcode exportModel} wrote. */
export interface ExportedModel {
  /** The new directory. */
  readonly path: string;
  /** Bytes of all files in it. */
  readonly bytes: number;
  /** Weights of the network. */
  readonly parameters: number;
}

/** Largest finite number of float16. */
const LARGEST_HALF = 65504;

/**
 * Writes the model of a run (its moving average), or any model that {@linkcode DDPM.load} reads, as a diffusers pipeline
 * directory of its own.
 *
 * @param out directory to make; it must not exist, or be empty
 * @throws {CheckpointError} where the model cannot be read, a weight does not fit float16, or `out` cannot be written
 * @throws {ConfigError} where there is something in `out`, or for a precision that there is not
 */
export async function exportModel(
  directory: string,
  out: string,
  { precision = "float16", ...options }: ExportOptions = {},
): Promise<ExportedModel> {
  if (!PRECISIONS.includes(precision)) throw new ConfigError("precision", precision, PRECISIONS.join(" or "));
  await requireEmpty(out);
  const { path, tensors, unetConfig, schedulerConfig, modelIndex } = await loadPipeline(directory, options);
  const files: Files = new Map();
  const json = { [MODEL_INDEX]: modelIndex, [SCHEDULER_CONFIG]: schedulerConfig, [UNET_CONFIG]: unetConfig };
  for (const [name, value] of Object.entries(json)) if (value) files.set(name, encodeJson(value, name));
  const stored = precision === "float16" ? toHalf(tensors, join(path, UNET_WEIGHTS)) : tensors;
  files.set(UNET_WEIGHTS, encodeWeights(stored, jsonDigests(files)));
  await writeDirectoryDurable(out, files, options);
  const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0);
  return {
    path: out,
    bytes: sum(files.values().map(({ length }) => length)),
    parameters: sum(tensors.values().map(({ data }) => data.length)),
  };
}

/** Rounds to the nearest float16. */
function toHalf(tensors: ReadonlyMap<string, WeightTensor>, source: string): Map<string, StateTensor> {
  const halves = new Map<string, StateTensor>();
  for (const [name, { shape, data }] of tensors) {
    const wide = data.find((value) => !(Math.abs(value) <= LARGEST_HALF));
    if (wide !== undefined) {
      throw new CheckpointError(
        `${source}: tensor ${JSON.stringify(name)} holds ${wide}, and float16 ends at ${LARGEST_HALF}; ` +
          "export it as float32",
      );
    }
    halves.set(name, { shape, data: new Float16Array(data) });
  }
  return halves;
}

async function requireEmpty(out: string): Promise<void> {
  try {
    for await (const _ of Deno.readDir(out)) {
      throw new ConfigError("out", out, "a directory that does not exist, or is empty");
    }
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (error instanceof Deno.errors.NotFound) return;
    throw new CheckpointError(`cannot write ${out}: ${(error as Error).message}`);
  }
}
