/**
 * Writing of pictures, and checks that files can be written.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { CheckpointError, ConfigError } from "../lib/errors.ts";
import { fileProblem, removeLeftovers, writeDurable } from "../lib/files/durable.ts";
import { Temporary } from "../lib/files/temporary.ts";
import type { Reporter } from "./progress.ts";

/** A picture file. */
export interface Picture {
  readonly path: string;
  readonly what: string;
}

/**
 * Writes a picture, creating its folder if missing. A crash or a full disk leaves the old file intact.
 * @throws {CheckpointError} naming the file, the reason and what to do
 */
export function writePicture(path: string, bytes: Uint8Array): Promise<void> {
  return writeDurable(path, bytes);
}

/**
 * Checks in advance that a file can be written; leaves no trace, and removes what crashed writes left beside it.
 *
 * @param flag that gave the path, for messages
 * @param directory true if the path is a directory to write into
 * @throws {ConfigError} if the path is of the other kind, or below a file
 * @throws {CheckpointError} if it cannot be written to
 */
export async function checkWritable(flag: string, path: string, directory = false): Promise<void> {
  const [present, isDirectory] = await nearestExisting(resolve(path)).catch((error) => {
    throw new CheckpointError(`cannot write ${path}: ${fileProblem(error)}`);
  });
  if (present === resolve(path) && isDirectory !== directory) {
    const expected = directory ? "a directory, not a file" : "a file, not a directory";
    throw new ConfigError(flag, path, expected);
  }
  if (present !== resolve(path) && !isDirectory) {
    throw new ConfigError(flag, path, `a path in a directory; ${present} is a file`);
  }
  const directoryPath = isDirectory ? present : dirname(present);
  const temporary = new Temporary(directoryPath);
  try {
    await temporary.createFile();
    await Deno.remove(temporary.path);
  } catch (error) {
    throw new CheckpointError(`cannot write ${path}: ${fileProblem(error)}`);
  } finally {
    temporary.release();
  }
  await removeLeftovers(directoryPath);
}

/** The path or its nearest existing parent, and true if that is a directory. */
async function nearestExisting(path: string): Promise<[string, boolean]> {
  try {
    return [path, (await Deno.stat(path)).isDirectory];
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
    if (!missing) throw error;
    return await nearestExisting(dirname(path));
  }
}

/** True if a file exists and is newer than another: a picture that is up to date. */
export async function isNewer(path: string, than: string): Promise<boolean> {
  try {
    const [picture, source] = [await Deno.stat(path), await Deno.stat(than)];
    return picture.isFile && picture.mtime !== null && source.mtime !== null && picture.mtime > source.mtime;
  } catch {
    return false; // missing or unreadable
  }
}

/**
 * Draws pictures of a run. A failure is only a warning: the model is saved, and a machine without the chart's libraries
 * still has metrics.jsonl.
 */
export async function drawOrWarn(
  report: Reporter,
  what: string,
  draw: () => Promise<Picture[]>,
): Promise<Picture[]> {
  try {
    return await draw();
  } catch (error) {
    warn(report, `${what}: not drawn (${(error as Error).message})`);
    return [];
  }
}

/** Reports a warning as a line and as an event. */
export function warn(report: Reporter, message: string): void {
  report.event({ type: "warning", message });
  report.line(`warning: ${message}`);
}
