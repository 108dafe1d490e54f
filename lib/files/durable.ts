/**
 * Files that survive a crash: what a name stood for stays whole until its replacement is whole and on the disk.
 * Everything is written under a temporary name in the same directory, flushed, then renamed.
 *
 * A directory written this way belongs to one process at a time: take `lockDirectory` first.
 *
 * @module
 */
import { dirname, isAbsolute, join, normalize, resolve } from "node:path";
import { CheckpointError } from "../errors.ts";

/** Called before each action that a crash can separate from the one before; for tests, which crash or throw there. */
export type OnPhase = (phase: string, path: string) => void | Promise<void>;

/** Options of the durable writes. */
export interface DurableOptions {
  /** See {@linkcode OnPhase}. */
  onPhase?: OnPhase;
  /** Told what could not be removed after a write that is good; `console.warn` if not given. */
  onWarning?: (message: string) => void;
}

const TEMPORARY_PREFIX = ".tmp-denoise-";
/** Suffix of the name that the previous directory has while {@linkcode writeDirectoryDurable} replaces it. */
export const PREVIOUS_SUFFIX = ".previous";

/** Temporary names in use by this process: an earlier crash did not leave these. */
const inUse = new Set<string>();

/**
 * Writes a file so that, whenever the machine stops, `path` holds either its old content or all of the new one.
 * Directories that are missing are made.
 *
 * @throws {CheckpointError} naming the path, the reason and what to do; the old content is then untouched
 */
export async function writeDurable(
  path: string,
  bytes: Uint8Array,
  options: DurableOptions = {},
): Promise<void> {
  const directory = dirname(resolve(path));
  const temporary = temporaryIn(directory);
  try {
    await makeDirectory(directory);
    await writeSynced(temporary, bytes, options);
    await options.onPhase?.("rename", path);
    await Deno.rename(temporary, path);
  } catch (error) {
    await removeQuietly(temporary);
    throw writeError(path, error);
  } finally {
    inUse.delete(temporary);
  }
  await syncParent(path, options);
}

/**
 * Writes a directory of files so that, whenever the machine stops, `directory` is either missing or complete. One
 * that exists is replaced: until the new one is there the old one has the name `directory` + `.previous`, and a
 * crash in between leaves it so. One of that name that cannot be removed afterwards is a warning.
 *
 * @param files contents by path relative to `directory`, with `/`
 * @throws {CheckpointError} naming the path, the reason and what to do; what was there before is still there
 */
export async function writeDirectoryDurable(
  directory: string,
  files: ReadonlyMap<string, Uint8Array>,
  options: DurableOptions = {},
): Promise<void> {
  const parent = dirname(resolve(directory));
  const temporary = temporaryIn(parent);
  try {
    await makeDirectory(parent);
    await removeLeftovers(parent);
    await Deno.mkdir(temporary);
    const directories = new Set([temporary]);
    for (const [name, bytes] of files) {
      const path = inside(temporary, name);
      await Deno.mkdir(dirname(path), { recursive: true });
      for (let above = dirname(path); above !== temporary; above = dirname(above)) directories.add(above);
      await writeSynced(path, bytes, options);
    }
    for (const each of directories) await syncDirectory(each);
    await moveIntoPlace(temporary, directory, options);
  } catch (error) {
    await removeQuietly(temporary);
    throw writeError(directory, error);
  } finally {
    inUse.delete(temporary);
  }
  await syncParent(directory, options);
  try {
    const previous = directory + PREVIOUS_SUFFIX;
    if (await exists(previous)) await removeDirectoryDurable(previous, options);
  } catch (error) {
    // The write itself is good, and the next one tries again.
    if (!(error instanceof CheckpointError)) throw error;
    const { onWarning = console.warn } = options;
    onWarning(error.message);
  }
}

/**
 * Removes a directory so that it is never seen half removed: it first takes a temporary name.
 *
 * @throws {CheckpointError} naming the path, the reason and what to do
 */
export async function removeDirectoryDurable(directory: string, options: DurableOptions = {}): Promise<void> {
  const parent = dirname(resolve(directory));
  const temporary = temporaryIn(parent);
  try {
    await options.onPhase?.("rename to remove", directory);
    await Deno.rename(directory, temporary);
    // Otherwise a crash of the machine could bring the name back with some of its files already gone.
    await syncDirectory(parent);
    await options.onPhase?.("remove", directory);
    await Deno.remove(temporary, { recursive: true });
  } catch (error) {
    throw new CheckpointError(`cannot remove ${directory}: ${fileProblem(error)}`);
  } finally {
    inUse.delete(temporary);
  }
}

/**
 * Removes what crashed writes left in a directory (not below it). A directory that does not exist is fine.
 *
 * @throws {CheckpointError} if one cannot be removed
 */
export async function removeLeftovers(directory: string): Promise<void> {
  try {
    for await (const { name } of Deno.readDir(directory)) {
      const path = join(resolve(directory), name);
      if (name.startsWith(TEMPORARY_PREFIX) && !inUse.has(path)) await Deno.remove(path, { recursive: true });
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw new CheckpointError(`cannot clean up ${directory} after an earlier crash: ${fileProblem(error)}`);
  }
}

function temporaryIn(directory: string): string {
  const path = join(directory, TEMPORARY_PREFIX + crypto.randomUUID());
  inUse.add(path);
  return path;
}

async function writeSynced(path: string, bytes: Uint8Array, { onPhase }: DurableOptions): Promise<void> {
  await onPhase?.("create", path);
  using file = await Deno.open(path, { write: true, createNew: true });
  await onPhase?.("write", path);
  for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
  await onPhase?.("sync", path);
  await file.sync();
}

async function moveIntoPlace(
  temporary: string,
  directory: string,
  { onPhase }: DurableOptions,
): Promise<void> {
  const previous = directory + PREVIOUS_SUFFIX;
  // No system call swaps two directories portably, so the old one steps aside under a name that readers know.
  const replaces = await exists(directory);
  if (replaces) {
    if (await exists(previous)) await removeDirectoryDurable(previous, { onPhase });
    await onPhase?.("rename aside", directory);
    await Deno.rename(directory, previous);
  }
  try {
    await onPhase?.("rename", directory);
    await Deno.rename(temporary, directory);
  } catch (error) {
    if (replaces) await Deno.rename(previous, directory);
    throw error;
  }
}

/**
 * Makes a directory and those above it, each flushed into its parent, without which a crash can lose it.
 * @throws what the system says
 */
export async function makeDirectory(directory: string): Promise<void> {
  if (await exists(directory)) return;
  const parent = dirname(directory);
  await makeDirectory(parent);
  await Deno.mkdir(directory, { recursive: true });
  await syncDirectory(parent);
}

/** Flushes the names in a directory. Deno opens a directory for reading and syncs it like a file on Linux and macOS. */
async function syncDirectory(directory: string): Promise<void> {
  // Windows has no such call: NTFS journals renames itself.
  if (Deno.build.os === "windows") return;
  using handle = await Deno.open(directory, { read: true });
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems do not know the operation; there is nothing better to do there.
    if (codeOf(error) !== "EINVAL" && codeOf(error) !== "ENOTSUP") throw error;
  }
}

/** Flushes the new name of `path`, the last step of a write: a failure here leaves the new content in place. */
async function syncParent(path: string, { onPhase }: DurableOptions): Promise<void> {
  try {
    await onPhase?.("sync parent", path);
    await syncDirectory(dirname(resolve(path)));
  } catch (error) {
    throw new CheckpointError(
      `${path} is written, but not yet safe from a power failure: ${fileProblem(error)}`,
    );
  }
}

/** Whether there is anything of that name, be it a link that leads nowhere. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function inside(directory: string, name: string): string {
  const path = normalize(name);
  if (isAbsolute(path) || path === ".." || path.startsWith("../") || path.startsWith("..\\")) {
    throw new CheckpointError(`${name}: expected a path inside the directory`);
  }
  return join(directory, path);
}

async function removeQuietly(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch {
    // It was never made, or the next write's clean-up will find it; the first error is the one to report.
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code;
}

/** What is told of a write that failed. */
export function writeError(path: string, error: unknown): CheckpointError {
  if (error instanceof CheckpointError) return error;
  return new CheckpointError(`cannot write ${path}: ${fileProblem(error)}; nothing there was changed`);
}

/** What went wrong in a file operation and what to do about it. */
export function fileProblem(error: unknown): string {
  switch (codeOf(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return "the disk is full; free some space, or choose a directory on another disk";
    case "EROFS":
      return "the file system is read-only; choose another directory";
    case "EACCES":
    case "EPERM":
      return "permission denied; choose another directory or change its owner or mode";
    default:
      return (error as Error).message;
  }
}
