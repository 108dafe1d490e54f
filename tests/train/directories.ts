/** Temporary directories, what is in them, and errors as the operating system makes them. */
import { join } from "node:path";

/** Runs `body` with a new directory that is gone afterwards. */
export async function inTemporaryDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "denoise-test-" });
  try {
    await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
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
