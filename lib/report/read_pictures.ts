/**
 * Reading of a run's pictures, within limits on their size.
 *
 * @module
 */
import { join } from "node:path";
import { DATA_SHEET } from "../train/run_directory.ts";
import type { PictureFile, RunPictures } from "./run_record.ts";
import { thinEarly } from "./thin.ts";

/** Limit on the size of a single picture, in bytes. */
const MAX_PICTURE = 8 * 2 ** 20;

const GRID_NAME = /^epoch-(\d+)\.png$/;

/** A grid's file before it is read. */
interface GridEntry {
  readonly epoch: number;
  readonly path: string;
  readonly bytes: number;
}

/**
 * Reads the pictures of a run. Missing ones, unreadable ones and those above 8 MiB are left out.
 *
 * @param limit on the size of all sample grids together, in bytes; early ones are left out first
 */
export async function readPictures(directory: string, limit: number): Promise<RunPictures> {
  const picture = (name: string) => readPicture(join(directory, name));
  const entries = await gridEntries(join(directory, "samples"));
  const kept = thinEarly(entries, ({ bytes }) => bytes, limit);
  const samples = [];
  for (const { epoch, path } of kept) {
    const file = await readPicture(path);
    if (file) samples.push({ ...file, epoch });
  }
  return {
    data: await picture(DATA_SHEET),
    forward: await picture("forward.png"),
    reverse: await picture("reverse.png"),
    animation: await picture("reverse.gif"),
    samples,
    samplesLeftOut: entries.length - kept.length,
  };
}

async function gridEntries(folder: string): Promise<GridEntry[]> {
  const entries: GridEntry[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const [, epoch] = GRID_NAME.exec(name) ?? [];
      if (epoch === undefined) continue;
      const path = join(folder, name);
      const { size, isFile } = await Deno.stat(path);
      if (isFile && size <= MAX_PICTURE) entries.push({ epoch: Number(epoch), path, bytes: size });
    }
  } catch (error) {
    if (!isUnreadable(error)) throw error;
  }
  return entries.sort((a, b) => a.epoch - b.epoch);
}

async function readPicture(path: string): Promise<PictureFile | undefined> {
  try {
    if ((await Deno.stat(path)).size > MAX_PICTURE) return undefined;
    return { bytes: await Deno.readFile(path), type: path.endsWith(".gif") ? "image/gif" : "image/png" };
  } catch (error) {
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}

/** True for errors of the file system: a report without a picture is better than none. */
function isUnreadable(error: unknown): boolean {
  return error instanceof Error && ("code" in error || error instanceof Deno.errors.NotFound);
}
