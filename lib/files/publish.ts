/**
 * Publishing a run's model: the EMA weights of its newest checkpoint are copied to where readers of diffusers directories
 * look for them. A save interrupted between the two leaves an older model there.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { listCheckpoints, listedDigest, readVerified, sha256 } from "./checkpoint_files.ts";
import { type Files, PIPELINE_FILES, UNET_WEIGHTS } from "./pipeline_files.ts";
import { type DurableOptions, removeLeftovers, writeDurable } from "./durable.ts";

/** A checkpoint's model. */
export interface CheckpointModel {
  /** Directory of the checkpoint. */
  readonly path: string;
  /** Contents of its pipeline files. */
  readonly files: Files;
}

/**
 * Removes temporary files that crashed writes left in a run's directory, to free space for the next one: beside its models, its
 * checkpoints, its snapshots and its pictures.
 *
 * @throws {CheckpointError} if a file cannot be removed
 */
export async function removeRunLeftovers(runDir: string): Promise<void> {
  for (const directory of [runDir, ...await foldersIn(runDir), ...await foldersIn(bestDirectory(runDir))]) {
    await removeLeftovers(directory);
  }
}

async function foldersIn(directory: string): Promise<string[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(directory));
    return entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => join(directory, name));
  } catch {
    return []; // It does not exist, or the write that follows reports the error.
  }
}

/** Directory of a run's model with the lowest validation loss, a pipeline directory. */
export function bestDirectory(runDir: string): string {
  return join(runDir, "best");
}

/** Publishes a model as copies, not hard links, of the checkpoint's files, so that damage to one spares the other. */
export async function publish(runDir: string, files: Files, options: DurableOptions): Promise<void> {
  for (const name of PIPELINE_FILES) {
    const path = join(runDir, name);
    const bytes = files.get(name)!;
    // Configurations rarely change, and a flush can take tens of milliseconds.
    const changes = name === UNET_WEIGHTS || !await holds(path, bytes);
    if (changes) await writeDurable(path, bytes, options);
  }
}

/**
 * Publishes the newest checkpoint's EMA if a save was interrupted before doing so. Also removes temporary files of
 * crashed writes: a run with nothing left to save would keep them forever.
 *
 * @param runDir lock it with `lockDirectory`
 * @returns true if a model was written
 * @throws {CheckpointError} if it cannot be written
 */
export async function publishNewest(runDir: string, options: DurableOptions = {}): Promise<boolean> {
  await removeRunLeftovers(runDir);
  const pending = await unpublished(runDir);
  if (!pending) return false;
  await publish(runDir, pending.files, options);
  return true;
}

/**
 * Publishes a checkpoint's model as the best one, unless it is that already.
 *
 * @param path directory of the checkpoint
 * @throws {CheckpointError} if the checkpoint is damaged, or the model cannot be written
 */
export async function publishBest(runDir: string, path: string, options: DurableOptions = {}): Promise<void> {
  const best = bestDirectory(runDir);
  if (await listedDigest(path, UNET_WEIGHTS) === await digestOf(join(best, UNET_WEIGHTS))) return;
  await publish(best, await readVerified(path, PIPELINE_FILES), options);
}

/**
 * The newest checkpoint's model, if the run directory has different weights; undefined if they are the same, or there is
 * no usable checkpoint. Only weights are compared: configurations are the same in all of a run's checkpoints, and the
 * weights are written last.
 */
export async function unpublished(runDir: string): Promise<CheckpointModel | undefined> {
  const candidates = await listCheckpoints(runDir);
  if (candidates.length === 0) return undefined;
  const published = await digestOf(join(runDir, UNET_WEIGHTS));
  for (const { path } of candidates) {
    try {
      // Even if the checkpoint's own weights have been damaged since, the published copy is the run's newest model.
      if (await listedDigest(path, UNET_WEIGHTS) === published) return undefined;
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      // The newest checkpoint cannot be read, and may be the one that is published.
      if (published !== undefined) return undefined;
    }
    try {
      return { path, files: await readVerified(path, PIPELINE_FILES) };
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
    }
  }
  return undefined;
}

async function digestOf(path: string): Promise<string | undefined> {
  try {
    return sha256(await Deno.readFile(path));
  } catch {
    return undefined; // Missing or unreadable: the code that needs it reports the error.
  }
}

async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  try {
    const present = await Deno.readFile(path);
    return present.length === bytes.length && present.every((byte, i) => byte === bytes[i]);
  } catch {
    return false; // Missing or unreadable: writing it reports the error.
  }
}
