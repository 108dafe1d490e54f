/**
 * Exclusive locks on directories and files, for the life of a process or for one action. The operating system locks an open
 * file (`.lock` in a directory), so that the lock ends with the process even after a crash; the file stays behind and means nothing by itself.
 *
 * @module
 */
import { dirname, join, resolve } from "node:path";
import { TrainingError } from "../errors.ts";
import { makeDirectory, writeError } from "./durable.ts";

/** Lock file. */
const LOCK = ".lock";

/** A directory locked by this process; released by `release()`, `using`, or the end of the process. */
export interface DirectoryLock {
  /** Releases the lock; a second call does nothing. */
  release(): void;
  /** The same, for `using`. */
  [Symbol.dispose](): void;
}

/**
 * Locks a directory for this process, creating it if missing.
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
        `${directory} is in use by another process${await describeHolder(path)}: ` +
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

/** Runs `body` with the directory's lock held, as {@linkcode withFileLock} does. */
export async function withDirectoryLock<T>(directory: string, body: () => Promise<T>): Promise<T> {
  return await withFileLock(join(directory, LOCK), body);
}

/**
 * Runs `body` with a lock held, waiting for other processes to release it. Runs it without the lock where locking fails: in
 * a directory that cannot be written to, the write that follows reports the error, and some file systems have no locks.
 *
 * @param path of the lock's file, which is made where it is missing, with its directory, and stays behind
 */
export async function withFileLock<T>(path: string, body: () => Promise<T>): Promise<T> {
  let file: Deno.FsFile | undefined;
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    file = await Deno.open(path, { write: true, create: true });
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

async function describeHolder(lockPath: string): Promise<string> {
  try {
    const text = (await Deno.readTextFile(lockPath)).trim();
    return text && ` (${text})`;
  } catch {
    return ""; // On Windows a locked file cannot be read.
  }
}
