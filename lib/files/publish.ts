/**
 * The model of a run directory: the EMA weights of its newest checkpoint, copied to where every reader of diffusers'
 * directories looks for them. A save that is cut short between the two leaves an older model there.
 *
 * @module
 */
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import {
  type Files,
  listCheckpoints,
  listedDigest,
  PIPELINE_FILES,
  readVerified,
  sha256,
  UNET_WEIGHTS,
} from "./checkpoint_files.ts";
import { type DurableOptions, removeLeftovers, writeDurable } from "./durable.ts";

/** A checkpoint's model. */
export interface CheckpointModel {
  /** Directory of the checkpoint. */
  readonly path: string;
  /** Contents of its pipeline files. */
  readonly files: Files;
}

/**
 * Removes what crashed writes left beside a run's model, which takes room that the next one needs.
 *
 * @throws {CheckpointError} if one cannot be removed
 */
export async function removeModelLeftovers(runDir: string): Promise<void> {
  for (const part of ["", "scheduler", "unet"]) await removeLeftovers(join(runDir, part));
}

/** Writes a copy, not a hard link of the checkpoint's file, so that damage to one leaves the other. */
export async function publish(runDir: string, files: Files, options: DurableOptions): Promise<void> {
  for (const name of PIPELINE_FILES) {
    const path = join(runDir, name);
    const bytes = files.get(name)!;
    // The configurations hardly ever change, and a flush to the disk can take tens of milliseconds.
    const changes = name === UNET_WEIGHTS || !await holds(path, bytes);
    if (changes) await writeDurable(path, bytes, options);
  }
}

/**
 * Makes the newest checkpoint's EMA the model of `runDir` where a save was cut short before it did.
 *
 * @param runDir hold it with `lockDirectory`
 * @returns whether anything was written
 * @throws {CheckpointError} if it cannot be written
 */
export async function publishNewest(runDir: string, options: DurableOptions = {}): Promise<boolean> {
  const pending = await unpublished(runDir);
  if (!pending) return false;
  await removeModelLeftovers(runDir);
  await publish(runDir, pending.files, options);
  return true;
}

/**
 * The model of the newest checkpoint, where the run directory has other weights; undefined where they are the same, or
 * there is no checkpoint to take others from. Weights count, not the configurations beside them: those are the same in
 * all of a run's checkpoints, and the weights are written last.
 */
export async function unpublished(runDir: string): Promise<CheckpointModel | undefined> {
  const candidates = await listCheckpoints(runDir);
  if (candidates.length === 0) return undefined;
  const published = await digestOf(join(runDir, UNET_WEIGHTS));
  for (const { path } of candidates) {
    try {
      // Also when the newest checkpoint's own weights are damaged by now, their copy is the run's newest model.
      if (await listedDigest(path, UNET_WEIGHTS) === published) return undefined;
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      // What the newest checkpoint held cannot be told, and might be what is published.
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
    return undefined; // Missing, or not readable: who needs it tells.
  }
}

async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  try {
    const present = await Deno.readFile(path);
    return present.length === bytes.length && present.every((byte, i) => byte === bytes[i]);
  } catch {
    return false; // Missing or not readable: writing it anew tells.
  }
}
