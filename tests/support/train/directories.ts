/** Temporary directories, their contents, and errors of the operating system. */
import { join } from "node:path";

/** Memory-backed if available: contents survive a killed process, as on a disk, but access is faster. */
const MEMORY = await Deno.stat("/dev/shm").then(() => "/dev/shm", () => undefined);

/** Runs `body` with a temporary directory; `onDisk` for one that can be flushed to a disk. */
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

/** Removes the contents of a directory. */
export async function emptyDirectory(directory: string): Promise<void> {
  for await (const { name } of Deno.readDir(directory)) {
    await Deno.remove(join(directory, name), { recursive: true });
  }
}

/** All files below a directory: text by relative path. Empty directories are not listed. */
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

/** An error with an operating system's code, as Deno throws it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code} (os error)`), { code });
}
