/**
 * Atomic, crash-safe writes: everything is written under a temporary name in the same directory, flushed to disk, then
 * renamed, so that a path always holds either its old content or all of the new.
 *
 * What is written under a temporary name is locked, so that other processes do not take it for a leftover of a crash. Two
 * processes must not replace the same directory: call `lockDirectory` first.
 *
 * @module
 */
import { dirname, isAbsolute, join, normalize, resolve } from "node:path";
import { CheckpointError } from "../errors.ts";
import { removeLeftover, Temporary, TEMPORARY_PREFIX } from "./temporary.ts";

/** Called before each file operation; tests crash or throw there. */
export type OnPhase = (phase: string, path: string) => void | Promise<void>;

/** Options of the durable writes. */
export interface DurableOptions {
  /** See {@linkcode OnPhase}. */
  onPhase?: OnPhase;
  /** Called when old files cannot be removed after a successful write; default `console.warn`. */
  onWarning?: (message: string) => void;
  /** Permissions of a file, such as 0o600, set before it has any content; default those of the process. */
  mode?: number;
}

/** Suffix of the old directory's name while {@linkcode writeDirectoryDurable} replaces it. */
export const PREVIOUS_SUFFIX = ".previous";

/**
 * Writes a file atomically: after a crash `path` holds either its old content or all of the new. Creates missing
 * directories.
 *
 * @throws {CheckpointError} naming the path, the reason and what to do; the old content is then untouched
 */
export async function writeDurable(
  path: string,
  bytes: Uint8Array,
  options: DurableOptions = {},
): Promise<void> {
  const directory = dirname(resolve(path));
  const temporary = new Temporary(directory);
  try {
    await makeDirectory(directory);
    await options.onPhase?.("create", temporary.path);
    const file = await temporary.createFile();
    if (options.mode !== undefined && Deno.build.os !== "windows") {
      await Deno.chmod(temporary.path, options.mode);
    }
    await writeSynced(file, temporary.path, bytes, options);
    await options.onPhase?.("rename", path);
    await Deno.rename(temporary.path, path);
  } catch (error) {
    await temporary.remove();
    throw writeError(path, error);
  } finally {
    temporary.release();
  }
  await syncParent(path, options);
}

/**
 * Writes a directory of files atomically: after a crash `directory` is either missing or complete. An existing directory
 * is replaced: it is called `directory` + `.previous` until the new one is in place, and keeps that name if a crash comes
 * in between. If it cannot be removed afterwards, that is a warning.
 *
 * @param files contents by path relative to `directory`, with `/`
 * @throws {CheckpointError} naming the path, the reason and what to do; the old content is then untouched
 */
export async function writeDirectoryDurable(
  directory: string,
  files: ReadonlyMap<string, Uint8Array>,
  options: DurableOptions = {},
): Promise<void> {
  const parent = dirname(resolve(directory));
  const temporary = new Temporary(parent);
  try {
    await makeDirectory(parent);
    await removeLeftovers(parent);
    await temporary.createDirectory();
    const root = temporary.path;
    const directories = new Set([root]);
    for (const [name, bytes] of files) {
      const path = inside(root, name);
      await Deno.mkdir(dirname(path), { recursive: true });
      for (let above = dirname(path); above !== root; above = dirname(above)) directories.add(above);
      await options.onPhase?.("create", path);
      using file = await Deno.open(path, { write: true, createNew: true });
      await writeSynced(file, path, bytes, options);
    }
    for (const each of directories) await syncDirectory(each);
    await moveIntoPlace(root, directory, options);
  } catch (error) {
    await temporary.remove();
    throw writeError(directory, error);
  } finally {
    temporary.release();
  }
  await syncParent(directory, options);
  try {
    const previous = directory + PREVIOUS_SUFFIX;
    if (await exists(previous)) await removeDirectoryDurable(previous, options);
  } catch (error) {
    // The write itself succeeded, and the next one tries again.
    if (!(error instanceof CheckpointError)) throw error;
    const { onWarning = console.warn } = options;
    onWarning(error.message);
  }
}

/**
 * Removes a directory atomically, by renaming it first.
 *
 * @throws {CheckpointError} naming the path, the reason and what to do
 */
export async function removeDirectoryDurable(directory: string, options: DurableOptions = {}): Promise<void> {
  const parent = dirname(resolve(directory));
  const temporary = new Temporary(parent);
  try {
    await options.onPhase?.("rename to remove", directory);
    await temporary.take(directory);
    // Otherwise a crash could bring the old name back with some of its files already removed.
    await syncDirectory(parent);
    await options.onPhase?.("remove", directory);
    await Deno.remove(temporary.path, { recursive: true });
  } catch (error) {
    throw new CheckpointError(`cannot remove ${directory}: ${fileProblem(error)}`);
  } finally {
    temporary.release();
  }
}

/**
 * Removes temporary files that crashed writes left in a directory (not in subdirectories), and none that a process still writes.
 * The directory need not exist.
 *
 * @throws {CheckpointError} if a file cannot be removed
 */
export async function removeLeftovers(directory: string): Promise<void> {
  try {
    for await (const { name } of Deno.readDir(directory)) {
      const path = join(resolve(directory), name);
      if (name.startsWith(TEMPORARY_PREFIX)) await removeLeftover(path);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw new CheckpointError(`cannot clean up ${directory} after an earlier crash: ${fileProblem(error)}`);
  }
}

async function writeSynced(
  file: Deno.FsFile,
  path: string,
  bytes: Uint8Array,
  { onPhase }: DurableOptions,
): Promise<void> {
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
  // There is no portable way to swap two directories, so the old one is first renamed to a name that readers know.
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
 * Creates a directory and its parents. Each is flushed to its parent: otherwise a crash could lose it.
 * @throws {Deno.errors} the system's error
 */
export async function makeDirectory(directory: string): Promise<void> {
  if (await exists(directory)) return;
  const parent = dirname(directory);
  await makeDirectory(parent);
  await Deno.mkdir(directory, { recursive: true });
  await syncDirectory(parent);
}

/** Flushes a directory's entries. On Linux and macOS, Deno can open and sync a directory like a file. */
async function syncDirectory(directory: string): Promise<void> {
  // Windows has no such call; NTFS journals renames.
  if (Deno.build.os === "windows") return;
  using handle = await Deno.open(directory, { read: true });
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems do not support it; there is nothing better to do there.
    if (codeOf(error) !== "EINVAL" && codeOf(error) !== "ENOTSUP") throw error;
  }
}

/** Flushes the directory entry of `path`, the last step of a write; if it fails, the new content is already in place. */
async function syncParent(path: string, { onPhase }: DurableOptions): Promise<void> {
  try {
    await onPhase?.("sync parent", path);
    await syncDirectory(dirname(resolve(path)));
  } catch (error) {
    throw new CheckpointError(
      `${path} is written, but a power failure could still lose it: ${fileProblem(error)}`,
    );
  }
}

/** True if the path exists, dangling symbolic links included. */
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

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code;
}

/** Error for a failed write, after which the old content is untouched. */
export function writeError(path: string, error: unknown): CheckpointError {
  if (error instanceof CheckpointError) return error;
  return new CheckpointError(`cannot write ${path}: ${fileProblem(error)}; nothing there was changed`);
}

/** Reason that a file operation failed, and what to do about it. */
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
