/**
 * The files of a checkpoint directory and the manifest that says whether they are whole.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { PREVIOUS_SUFFIX } from "./durable.ts";
import { decodeText, describeStandIn } from "./stand_in.ts";
import { decodeWeights } from "./weights.ts";

/** Folder of a run's checkpoints. */
export const CHECKPOINTS = "checkpoints";
/** Says which parts a diffusers pipeline has. */
export const MODEL_INDEX = "model_index.json";
/** The noise schedule. */
export const SCHEDULER_CONFIG = "scheduler/scheduler_config.json";
/** The network's shape. */
export const UNET_CONFIG = "unet/config.json";
/** The network's EMA weights. */
export const UNET_WEIGHTS = "unet/diffusion_pytorch_model.safetensors";
/** The trainer's numbers. */
export const TRAINER = "trainer.json";
/** The trainer's tensors. */
export const TRAINER_TENSORS = "trainer.safetensors";
/** Step, and length and SHA-256 of each of the other files. */
export const MANIFEST = "manifest.json";
/** The files of a diffusers pipeline directory; the weights last, so that their configuration is there before them. */
export const PIPELINE_FILES: readonly string[] = [MODEL_INDEX, SCHEDULER_CONFIG, UNET_CONFIG, UNET_WEIGHTS];

const MANIFEST_FORMAT = 1;

/** File contents by path relative to the checkpoint's directory. */
export type Files = Map<string, Uint8Array<ArrayBuffer>>;

/** Where a checkpoint is. */
export interface CheckpointPath {
  /** Optimizer steps done. */
  step: number;
  /** Its directory. */
  path: string;
}

/** Directory of the checkpoint of a step. */
export function checkpointPath(runDir: string, step: number): string {
  return join(runDir, CHECKPOINTS, `step-${String(step).padStart(8, "0")}`);
}

/**
 * The checkpoints of a run, newest first; none if there is no such directory. Whether they are whole is not looked
 * at. A run that does not resume must not start in a directory that has any: they would be taken for its own.
 *
 * @throws {CheckpointError} if the directory is there and cannot be read
 */
export async function listCheckpoints(runDir: string): Promise<CheckpointPath[]> {
  const directory = join(runDir, CHECKPOINTS);
  const found: CheckpointPath[] = [];
  try {
    for await (const { name } of Deno.readDir(directory)) {
      const step = stepOf(name);
      if (step !== undefined) found.push({ step, path: join(directory, name) });
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw new CheckpointError(`${directory}: cannot be read: ${(error as Error).message}`);
  }
  // A checkpoint that was being replaced has a longer name than its replacement and comes after it.
  return found.sort((a, b) => b.step - a.step || a.path.length - b.path.length);
}

/**
 * What `load` makes of the first checkpoint that it accepts, with a warning for each that it did not.
 *
 * @param reasons why earlier candidates, other than these, were not accepted
 * @throws {CheckpointError} if it accepts none, with each reason
 */
export async function firstWhole<T>(
  candidates: CheckpointPath[],
  load: (checkpoint: CheckpointPath) => Promise<T>,
  onWarning: (message: string) => void,
  reasons: string[] = [],
): Promise<T> {
  for (const candidate of candidates) {
    try {
      const loaded = await load(candidate);
      for (const reason of reasons) onWarning(`${reason}; using ${candidate.path} instead`);
      return loaded;
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      reasons.push(error.message);
    }
  }
  throw noneWhole(reasons);
}

/** That no checkpoint can be used, and why not each. */
export function noneWhole(reasons: readonly string[]): CheckpointError {
  return new CheckpointError(`no checkpoint here can be used:\n  ${reasons.join("\n  ")}`);
}

/** The manifest of a checkpoint with these files. */
export function manifestOf(step: number, files: Files): Uint8Array<ArrayBuffer> {
  const entries = [...files].map(([name, bytes]) => [name, { bytes: bytes.length, sha256: sha256(bytes) }]);
  return encodeJson({ format: MANIFEST_FORMAT, step, files: Object.fromEntries(entries) }, MANIFEST);
}

/**
 * Reads files of a checkpoint and compares each with the manifest.
 *
 * @throws {CheckpointError} naming the file and what is wrong with it, and the tensor where it can be told
 */
export async function readVerified(directory: string, names: readonly string[]): Promise<Files> {
  const entryOf = await readManifest(directory);
  const files: Files = new Map();
  for (const name of names) {
    const path = join(directory, name);
    const entry = entryOf(name);
    const bytes = await readModelFile(path);
    if (bytes.length !== entry.bytes || sha256(bytes) !== entry.sha256) {
      if (name.endsWith(".safetensors")) decodeWeights(bytes, path); // to name the tensor, if one is damaged
      throw new CheckpointError(
        `${path} is damaged: length (${bytes.length}, saved ${entry.bytes}) or SHA-256 differ from ${MANIFEST}`,
      );
    }
    files.set(name, bytes);
  }
  return files;
}

/**
 * SHA-256, in hex, that a checkpoint's manifest has for one of its files; the file itself is not looked at.
 *
 * @throws {CheckpointError} if the manifest cannot be read or does not list it
 */
export async function listedDigest(directory: string, name: string): Promise<string> {
  return (await readManifest(directory))(name).sha256;
}

/** Length and SHA-256 that a checkpoint's manifest has for each file. */
async function readManifest(directory: string): Promise<(name: string) => { bytes: number; sha256: string }> {
  const path = join(directory, MANIFEST);
  const manifest = parseJson(await readModelFile(path), path);
  if (manifest.format !== MANIFEST_FORMAT || manifest.step !== stepOf(basename(directory))) {
    throw new CheckpointError(
      `${path}: expected format ${MANIFEST_FORMAT} and the step of ${basename(directory)}, ` +
        `got format ${manifest.format} and step ${manifest.step}`,
    );
  }
  const listed = new Map(Object.entries(manifest.files ?? {}));
  return (name) => {
    const entry = listed.get(name);
    if (!entry) throw new CheckpointError(`${path}: ${name} is not listed`);
    return entry;
  };
}

/**
 * Reads a file.
 *
 * @throws {CheckpointError} if it is missing or cannot be read
 */
export async function readModelFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new CheckpointError(`${path} is missing`);
    throw new CheckpointError(`${path}: cannot be read: ${(error as Error).message}`);
  }
}

/**
 * A JSON file, indented as diffusers does.
 *
 * @throws {CheckpointError} for NaN and infinity, which JSON would silently turn to null
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

/**
 * The object that a JSON file holds.
 *
 * @throws {CheckpointError} if it holds anything else
 */
export function parseJson(bytes: Uint8Array, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(decodeText(bytes));
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

function stepOf(name: string): number | undefined {
  const plain = name.endsWith(PREVIOUS_SUFFIX) ? name.slice(0, -PREVIOUS_SUFFIX.length) : name;
  const digits = /^step-(\d{8,15})$/.exec(plain)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** SHA-256 in hex. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
