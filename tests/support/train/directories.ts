/** Temporary directories, what is in them, and errors as the operating system makes them. */
import { join } from "node:path";

/** In memory where the system has such a place: a killed process finds it as it left it, like a disk, but sooner. */
const MEMORY = await Deno.stat("/dev/shm").then(() => "/dev/shm", () => undefined);

/** Runs `body` with a new directory that is gone afterwards; `onDisk` for one that can be flushed to a disk. */
export async function inTemporaryDirectory<T>(
  body: (directory: string) => Promise<T>,
  { onDisk = false } = {},
): Promise<T> {
  const directory = await Deno.makeTempDir({ prefix: "denoise-test-", dir: onDisk ? undefined : MEMORY });
  try {
    return await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Removes all that a directory holds. */
export async function emptyDirectory(directory: string): Promise<void> {
  for await (const { name } of Deno.readDir(directory)) {
    await Deno.remove(join(directory, name), { recursive: true });
  }
}

/** All files below a directory: text by relative path. Empty directories do not show. */
export async function treeOf(directory: string): Promise<Record<string, string>> {
  const tree: Record<string, string> = {};
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    if (isDirectory) {
      for (const [path, text] of Object.entries(await treeOf(join(directory, name)))) {
        tree[`${name}/${path}`] = text;
      }
    } else tree[name] = await Deno.readTextFile(join(directory, name));
  }
  return tree;
}

/** An error with a code of the operating system, as Deno throws it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code} (os error)`), { code });
}
