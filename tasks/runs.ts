/**
 * Where runs live when nobody says where.
 *
 * @module
 */
import { join } from "node:path";
import { ConfigError } from "../lib/errors.ts";
import { listCheckpoints } from "../lib/train/checkpoint.ts";

/** Folder of the runs, below the current directory. */
export const RUNS = "runs";

/** A directory that does not exist yet: `runs/2026-11-22-1`, `-2`, … */
export async function newRunDirectory(today: Date = new Date()): Promise<string> {
  const day = today.toISOString().slice(0, 10);
  for (let n = 1;; n++) {
    const path = join(RUNS, `${day}-${n}`);
    if (!await exists(path)) return path;
  }
}

/**
 * The run whose newest checkpoint is the newest.
 * @throws {ConfigError} if there is none
 */
export async function newestRun(): Promise<string> {
  let newest: { path: string; time: number } | undefined;
  for (const name of await directories(RUNS)) {
    const path = join(RUNS, name);
    const [checkpoint] = await listCheckpoints(path);
    if (!checkpoint) continue;
    const time = (await Deno.stat(checkpoint.path)).mtime?.getTime() ?? 0;
    if (!newest || time > newest.time) newest = { path, time };
  }
  if (!newest) {
    throw new ConfigError("run", RUNS, "a directory with a run that has a checkpoint; none is there yet");
  }
  return newest.path;
}

async function directories(path: string): Promise<string[]> {
  try {
    const names: string[] = [];
    for await (const entry of Deno.readDir(path)) if (entry.isDirectory) names.push(entry.name);
    return names.sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
