/**
 * Files of a checkpoint directory, and the manifest that detects damage to them.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { PREVIOUS_SUFFIX } from "./durable.ts";
import { encodeJson, type Files, parseJson } from "./pipeline_files.ts";
import { decodeWeights } from "./weights.ts";

/** Folder of a run's checkpoints. */
export const CHECKPOINTS = "checkpoints";
/** Trainer state other than tensors. */
export const TRAINER = "trainer.json";
/** Trainer tensors. */
export const TRAINER_TENSORS = "trainer.safetensors";
/** Step, and the length and SHA-256 of every other file. */
export const MANIFEST = "manifest.json";
const MANIFEST_FORMAT = 1;

/** Location of a checkpoint. */
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
 * Checkpoints of a run, newest first, not checked for damage; empty if the directory does not exist. A new run must not
 * start in a directory that has any: they would be taken for its own.
 *
 * @throws {CheckpointError} if the directory exists but cannot be read
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
  // A checkpoint left over from a replacement has a longer name than the new one, and comes after it.
  return found.sort((a, b) => b.step - a.step || a.path.length - b.path.length);
}

/**
 * Loads the first checkpoint that `load` accepts, with a warning for each that it rejected.
 *
 * @param reasons why candidates before these were rejected
 * @throws {CheckpointError} if all are rejected, with each reason
 */
export async function firstUsable<T>(
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
  throw noneUsable(reasons);
}

/** Error for a run without a usable checkpoint, with the reason for each. */
export function noneUsable(reasons: readonly string[]): CheckpointError {
  return new CheckpointError(`no usable checkpoint:\n  ${reasons.join("\n  ")}`);
}

/** Manifest of a checkpoint. */
export function manifestOf(step: number, files: Files): Uint8Array<ArrayBuffer> {
  const entries = [...files].map(([name, bytes]) => [name, { bytes: bytes.length, sha256: sha256(bytes) }]);
  return encodeJson({ format: MANIFEST_FORMAT, step, files: Object.fromEntries(entries) }, MANIFEST);
}

/**
 * Reads files of a checkpoint and verifies each against the manifest.
 *
 * @throws {CheckpointError} naming the file, what is wrong with it and, if known, the tensor
 */
export async function readVerified(directory: string, names: readonly string[]): Promise<Files> {
  const entryOf = await readManifest(directory);
  const files: Files = new Map();
  for (const name of names) {
    const path = join(directory, name);
    const entry = entryOf(name);
    const bytes = await readModelFile(path);
    if (bytes.length !== entry.bytes || sha256(bytes) !== entry.sha256) {
      if (name.endsWith(".safetensors")) await decodeWeights(bytes, path); // throws an error that names the tensor, if one is damaged
      throw new CheckpointError(
        `${path} is damaged: length (${bytes.length}, saved ${entry.bytes}) or SHA-256 differ from ${MANIFEST}`,
      );
    }
    files.set(name, bytes);
  }
  return files;
}

/**
 * SHA-256 in hex of a file as listed in a checkpoint's manifest; the file itself is not read.
 *
 * @throws {CheckpointError} if the manifest cannot be read or does not list it
 */
export async function listedDigest(directory: string, name: string): Promise<string> {
  return (await readManifest(directory))(name).sha256;
}

/** Looks up the length and SHA-256 of a file in a checkpoint's manifest. */
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
 * @throws {CheckpointError} if it is missing, no file, or cannot be read
 */
export async function readModelFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    // Opening a pipe that nobody writes to never returns.
    if (!(await Deno.stat(path)).isFile) throw new CheckpointError(`${path}: not a file`);
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    if (error instanceof Deno.errors.NotFound) throw new CheckpointError(`${path} is missing`);
    throw new CheckpointError(`${path}: cannot be read: ${(error as Error).message}`);
  }
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
