/**
 * Directories that one process has for itself: for as long as it runs, or for a moment. The lock is the operating
 * system's on the open file `.lock`, so it ends with the process however that ends; the file stays and means nothing by
 * itself.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { TrainingError } from "../errors.ts";
import { makeDirectory, writeError } from "./durable.ts";

/** Name of the file that is locked. */
const LOCK = ".lock";

/** A directory that this process holds; given back by `release()`, `using`, or the end of the process. */
export interface DirectoryLock {
  /** Gives the directory back; a second call does nothing. */
  release(): void;
  /** The same, for `using`. */
  [Symbol.dispose](): void;
}

/**
 * Takes a directory for this process alone, made if missing.
 *
 * @throws {TrainingError} if another process, or this one, holds it
 * @throws {CheckpointError} if the lock file cannot be written
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const path = join(directory, LOCK);
  let file: Deno.FsFile;
  try {
    await makeDirectory(resolve(directory));
    file = await Deno.open(path, { read: true, write: true, create: true });
  } catch (error) {
    throw writeError(path, error);
  }
  try {
    if (!await file.tryLock(true)) {
      throw new TrainingError(
        `${directory} is in use by another training run${await holder(path)}: ` +
          `wait for it, stop it, or choose another directory`,
      );
    }
    await file.truncate();
    await file.write(new TextEncoder().encode(`process ${Deno.pid} since ${new Date().toISOString()}\n`));
  } catch (error) {
    file.close();
    throw error instanceof TrainingError ? error : writeError(path, error);
  }
  let held = true;
  const release = () => {
    if (held) file.close();
    held = false;
  };
  return { release, [Symbol.dispose]: release };
}

/**
 * Does something while no other process that asks so does the like in a directory; waits for its turn. Where nothing can
 * be locked it is done all the same: what cannot be written is told by the write that follows, and a file system without
 * locks has to do without.
 */
export async function whileAlone<T>(directory: string, body: () => Promise<T>): Promise<T> {
  let file: Deno.FsFile | undefined;
  try {
    await Deno.mkdir(directory, { recursive: true });
    file = await Deno.open(join(directory, LOCK), { write: true, create: true });
    await file.lock(true);
  } catch {
    // see above
  }
  try {
    return await body();
  } finally {
    file?.close();
  }
}

async function holder(lockPath: string): Promise<string> {
  try {
    const text = (await Deno.readTextFile(lockPath)).trim();
    return text && ` (${text})`;
  } catch {
    return ""; // Windows lets nobody read a locked file.
  }
}
