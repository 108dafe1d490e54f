/**
 * Files and directories under temporary names. Each is locked while a process works on it, so that other processes can tell it
 * from a leftover of a crash: the lock ends with the process.
 *
 * @module
 */
import { join } from "node:path";

/** Start of all temporary names. */
export const TEMPORARY_PREFIX = ".tmp-denoise-";

/** Names in use by this process: Windows cannot open a directory to lock it, and some file systems have no locks. */
const inUse = new Set<string>();

/** A temporary name in a directory, in use until it is released. */
export class Temporary {
  readonly path: string;
  #handle: Deno.FsFile | undefined;

  /** Chooses a name; creates nothing. */
  constructor(directory: string) {
    this.path = join(directory, TEMPORARY_PREFIX + crypto.randomUUID());
    inUse.add(this.path);
  }

  /**
   * Creates a file, which `release` closes.
   * @throws {Deno.errors} the system's error
   */
  async createFile(): Promise<Deno.FsFile> {
    return await this.#createLocked(async () => {
      const file = await Deno.open(this.path, { read: true, write: true, createNew: true });
      await lock(file);
      return file;
    });
  }

  /**
   * Creates a directory.
   * @throws {Deno.errors} the system's error
   */
  async createDirectory(): Promise<void> {
    await this.#createLocked(async () => {
      await Deno.mkdir(this.path);
      return await openDirectory(this.path);
    });
  }

  /** Creates again what another process removed before it was locked. */
  async #createLocked<H extends Deno.FsFile | undefined>(create: () => Promise<H>): Promise<H> {
    for (;;) {
      const handle = await create();
      this.#handle = handle;
      if (!handle || await Deno.stat(this.path).then(() => true, () => false)) return handle;
      handle.close();
    }
  }

  /**
   * Moves a directory to this name.
   * @throws {Deno.errors} the system's error
   */
  async take(directory: string): Promise<void> {
    this.#handle = await openDirectory(directory);
    await Deno.rename(directory, this.path);
  }

  /** Removes what is there; a failure is left to the next write's clean-up, since the caller reports why it removes it. */
  async remove(): Promise<void> {
    try {
      await Deno.remove(this.path, { recursive: true });
    } catch {
      // see above
    }
  }

  /** Releases the name and its lock, wherever the file or directory has been moved to. */
  release(): void {
    inUse.delete(this.path);
    this.#handle?.close();
    this.#handle = undefined;
  }
}

/**
 * Removes the file or directory of a temporary name, unless a process works on it.
 * @throws {Deno.errors} the system's error
 */
export async function removeLeftover(path: string): Promise<void> {
  if (inUse.has(path)) return;
  // The lock is held during the removal, so that the file is not locked for use meanwhile.
  using handle = await Deno.open(path, { read: true }).catch(() => undefined);
  if (await handle?.tryLock(true).catch(() => true) === false) return;
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // Another process has removed it, or finished it.
  });
}

/** Opens and locks a directory; undefined where that is impossible. */
async function openDirectory(path: string): Promise<Deno.FsFile | undefined> {
  try {
    const handle = await Deno.open(path, { read: true });
    await lock(handle);
    return handle;
  } catch {
    return undefined;
  }
}

async function lock(file: Deno.FsFile): Promise<void> {
  try {
    await file.lock(true);
  } catch {
    // Some file systems have no locks.
  }
}
