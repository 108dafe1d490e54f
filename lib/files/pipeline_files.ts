/**
 * Files of a diffusers pipeline directory.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import { decodeText, describeStandIn } from "./stand_in.ts";

/** Contents of a model's files, from wherever they are. */
export interface ModelFiles {
  /** Directory or address of the model, for messages. */
  readonly path: string;
  /**
   * Contents by path in the directory of a diffusers pipeline: `unet/config.json`,
   * `unet/diffusion_pytorch_model.safetensors` and, where there are any, `scheduler/scheduler_config.json` and
   * `model_index.json`.
   */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/** Lists the components of a diffusers pipeline. */
export const MODEL_INDEX = "model_index.json";
/** Noise schedule. */
export const SCHEDULER_CONFIG = "scheduler/scheduler_config.json";
/** Network architecture. */
export const UNET_CONFIG = "unet/config.json";
/** EMA weights. */
export const UNET_WEIGHTS = "unet/diffusion_pytorch_model.safetensors";
/** Files of a diffusers pipeline directory; the weights last, so that they are never published before their configuration. */
export const PIPELINE_FILES: readonly string[] = [MODEL_INDEX, SCHEDULER_CONFIG, UNET_CONFIG, UNET_WEIGHTS];

/** File contents by path relative to the checkpoint's directory. */
export type Files = Map<string, Uint8Array<ArrayBuffer>>;

/**
 * Parses a JSON object.
 *
 * @throws {CheckpointError} if it is not JSON, or another kind of value
 */
export function parseJson(bytes: Uint8Array, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(withoutInfinities(decodeText(bytes)));
  } catch (error) {
    throw new CheckpointError(
      `${path}: ${describeStandIn(bytes) ?? `not JSON: ${(error as Error).message}`}`,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CheckpointError(`${path}: not a JSON object`);
  }
  return value as Record<string, unknown>;
}

/**
 * Replaces infinite numbers by null. Python writes them by name, which JSON does not have: diffusers'
 * `DPMSolverMultistepScheduler` has `"lambda_min_clipped": -Infinity` for no limit.
 */
function withoutInfinities(json: string): string {
  return json.replace(
    /"(?:[^"\\]|\\.)*"|-?\b(?:Infinity|NaN)\b/g,
    (part) => part.startsWith('"') ? part : "null",
  );
}

/**
 * Encodes JSON, indented like diffusers' files.
 *
 * @throws {CheckpointError} for NaN and infinity, which JSON would silently turn into null
 */
export function encodeJson(value: object, name: string): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(value, (key, item) => {
    if (typeof item === "number" && !Number.isFinite(item)) {
      throw new CheckpointError(`cannot write ${name}: ${key} is ${item}, expected a finite number`);
    }
    return item;
  }, 2);
  return new TextEncoder().encode(text + "\n");
}
