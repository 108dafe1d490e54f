/**
 * Check that a run's directory is outside the folder of its training images.
 *
 * @module
 */
import { basename, dirname, join, resolve, sep } from "node:path";
import { hasImageExtension } from "../lib/data/decode/content.ts";
import { ConfigError } from "../lib/errors.ts";

/** Folder levels that are read as data: splits, and classes in them. */
const LEVELS = 2;

/**
 * Checks that a run's directory is not in its data, following links: the run would become a class of its own data set, or a
 * folder inside one, so that no run could be resumed with that data.
 *
 * @param flag that chose the directory, for errors
 * @param out the run's directory, which need not exist
 * @param data the folder or file given as data, which need not exist
 * @throws {ConfigError} if it is
 */
export async function checkOutsideData(flag: string, out: string, data: string): Promise<void> {
  const path = await resolveLinks(out);
  for (const folder of await realFolders(data, LEVELS)) {
    if (path !== folder && !path.startsWith(folder.endsWith(sep) ? folder : folder + sep)) continue;
    throw new ConfigError(
      flag,
      out,
      `a directory outside the data (${data}), which would change with every file that the run writes`,
    );
  }
}

/** Resolves links in a path that need not exist. */
async function resolveLinks(path: string): Promise<string> {
  const absolute = resolve(path);
  const real = await Deno.realPath(absolute).catch(() => undefined);
  if (real !== undefined) return real;
  const parent = dirname(absolute);
  return parent === absolute ? absolute : join(await resolveLinks(parent), basename(absolute));
}

/** Real paths of a folder and the folders in it, links included, down to `levels`. */
async function realFolders(folder: string, levels: number): Promise<string[]> {
  const real = await Deno.realPath(folder).catch(() => undefined);
  if (real === undefined || !(await Deno.stat(real)).isDirectory) return [];
  const found = [real];
  if (levels === 0) return found;
  for await (const { name, isSymlink, isDirectory } of Deno.readDir(real)) {
    if (isDirectory || (isSymlink && !hasImageExtension(name))) {
      found.push(...await realFolders(join(real, name), levels - 1));
    }
  }
  return found;
}
