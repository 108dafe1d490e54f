/**
 * Folders that tasks write a site to, and replace as a whole.
 *
 * @module
 */
import { ConfigError } from "../lib/errors.ts";

/**
 * Writes a new site beside the old one, and puts it in its place once all is written.
 *
 * @param out folder of the site: a new one, an empty one, or that of an earlier call
 * @param marks names of files by which an earlier site is known
 * @param write writes the site into a folder, which it may have to create
 * @throws {ConfigError} if something else is in the folder, or it cannot be read
 */
export async function replaceSite<T>(
  out: string,
  marks: readonly string[],
  write: (folder: string) => Promise<T>,
): Promise<T> {
  const replaced = await isSite(out, marks);
  const next = `${out}.new`;
  await Deno.remove(next, { recursive: true }).catch(() => {});
  try {
    const written = await write(next);
    if (replaced) await Deno.remove(out, { recursive: true });
    await Deno.rename(next, out);
    return written;
  } finally {
    await Deno.remove(next, { recursive: true }).catch(() => {});
  }
}

/** True for the folder of an earlier site, false if there is none. */
async function isSite(out: string, marks: readonly string[]): Promise<boolean> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(out)) names.push(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw new ConfigError("--out", out, "a folder that can be written");
  }
  if (names.length === 0 || marks.every((mark) => names.includes(mark))) return true;
  throw new ConfigError("--out", out, `a new folder, or one with an earlier site (found ${names[0]})`);
}
