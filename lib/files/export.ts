/**
 * Export of a model: the files needed for sampling, without the training state.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../errors.ts";
import { encodeJson } from "./pipeline_files.ts";
import { type Files, MODEL_INDEX, SCHEDULER_CONFIG, UNET_CONFIG, UNET_WEIGHTS } from "./pipeline_files.ts";
import { checkSigma } from "../model/ema_profiles.ts";
import type { FloatType } from "../graph/tensor.ts";
import { writeDirectoryDurable } from "./durable.ts";
import { jsonDigests } from "./json_digests.ts";
import { loadPipeline, type LoadPipelineOptions } from "./pipeline.ts";
import { type ReconstructedEma, reconstructEma } from "./ema_snapshots.ts";
import { encodeWeights, type StateTensor, type WeightTensor } from "./weights.ts";

/** Element type of exported weights: float32 as trained, or rounded to float16. */
export type ExportPrecision = FloatType;

/** Supported element types of exported weights. */
export const EXPORT_PRECISIONS: readonly ExportPrecision[] = ["float16", "float32"];

/** Options of {@linkcode exportModel}. */
export interface ExportOptions extends LoadPipelineOptions {
  /** Default `float16`: half the size, with a relative rounding error of at most 2^-11. */
  readonly precision?: ExportPrecision;
  /**
   * Relative width of the average of the weights, above 0.005 and below 0.288 (Karras et al. 2024, section 3), reconstructed from the snapshots
   * of a run with `emaProfiles`. Default: the run's EMA.
   */
  readonly emaSigma?: number;
  /** Makes the `scheduler_config.json` to write, from that of the model or null if it has none; default unchanged. */
  readonly scheduler?: (config: Record<string, unknown> | null) => Record<string, unknown>;
}

/** Result of {@linkcode exportModel}. */
export interface ExportedModel {
  /** The new directory. */
  readonly path: string;
  /** Total size of its files, bytes. */
  readonly bytes: number;
  /** Number of weights. */
  readonly parameters: number;
  /** Set if `emaSigma` was given. */
  readonly ema?: Omit<ReconstructedEma, "tensors">;
}

/** Largest finite float16. */
const LARGEST_HALF = 65504;

/**
 * Writes the model of a run (its EMA weights), or any model that {@linkcode DDPM.load} reads, to a new diffusers pipeline
 * directory.
 *
 * @param out directory to create; must not exist, or be empty
 * @throws {CheckpointError} if the model cannot be read, a weight overflows float16, or `out` cannot be written
 * @throws {ConfigError} if `out` is not empty, for an unknown precision, or a width out of range
 */
export async function exportModel(
  directory: string,
  out: string,
  { precision = "float16", emaSigma, scheduler, ...options }: ExportOptions = {},
): Promise<ExportedModel> {
  if (!EXPORT_PRECISIONS.includes(precision)) {
    throw new ConfigError("precision", precision, EXPORT_PRECISIONS.join(" or "));
  }
  if (emaSigma !== undefined) checkSigma("emaSigma", emaSigma);
  await requireEmpty(out);
  const { path, tensors: own, unetConfig, ...pipeline } = await loadPipeline(directory, options);
  const { tensors = own, ...ema } = emaSigma === undefined ? {} : await reconstructEma(directory, emaSigma);
  const schedulerConfig = scheduler ? scheduler(pipeline.schedulerConfig) : pipeline.schedulerConfig;
  const modelIndex = withScheduler(pipeline.modelIndex, schedulerConfig);
  const files: Files = new Map();
  const json = { [MODEL_INDEX]: modelIndex, [SCHEDULER_CONFIG]: schedulerConfig, [UNET_CONFIG]: unetConfig };
  for (const [name, value] of Object.entries(json)) if (value) files.set(name, encodeJson(value, name));
  const stored = precision === "float16" ? toHalf(tensors, join(path, UNET_WEIGHTS)) : tensors;
  files.set(UNET_WEIGHTS, await encodeWeights(stored, await jsonDigests(files)));
  await writeDirectoryDurable(out, files, options);
  const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0);
  return {
    path: out,
    bytes: sum(files.values().map(({ length }) => length)),
    parameters: sum(tensors.values().map(({ data }) => data.length)),
    ...("step" in ema ? { ema } : {}),
  };
}

/** The pipeline's index with the scheduler's class, by which diffusers loads it. */
function withScheduler(
  index: Record<string, unknown> | null,
  scheduler: Record<string, unknown> | null,
): Record<string, unknown> | null {
  const name = scheduler?._class_name;
  if (!index || !Array.isArray(index.scheduler) || name === undefined) return index;
  return { ...index, scheduler: [index.scheduler[0], name] };
}

/** Rounds weights to the nearest float16. */
function toHalf(tensors: ReadonlyMap<string, WeightTensor>, source: string): Map<string, StateTensor> {
  const halves = new Map<string, StateTensor>();
  for (const [name, { shape, data }] of tensors) {
    const overflowing = data.find((value) => !(Math.abs(value) <= LARGEST_HALF));
    if (overflowing !== undefined) {
      throw new CheckpointError(
        `${source}: tensor ${
          JSON.stringify(name)
        } contains ${overflowing}, and the largest float16 is ${LARGEST_HALF}; ` +
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
