/**
 * Keeps a run out of the folder that it reads its images from.
 *
 * @module
 */
import { basename, dirname, join, resolve, sep } from "node:path";
import { hasImageExtension } from "../lib/data/decode/content.ts";
import { ConfigError } from "../lib/errors.ts";

/** Levels of folders that are read: splits, and classes in them. */
const LEVELS = 2;

/**
 * Checks that a run's directory is not in its data, links followed: the run would be a class of its own data set, or a
 * folder inside one, so that neither it nor any other run could be resumed with that data.
 *
 * @param flag that chose the directory, for errors
 * @param out the run's directory, there or not
 * @param data the folder or file given as data, there or not
 * @throws {ConfigError} if it is
 */
export async function checkOutsideData(flag: string, out: string, data: string): Promise<void> {
  const place = await realPlace(out);
  for (const folder of await realFolders(data, LEVELS)) {
    if (place !== folder && !place.startsWith(folder.endsWith(sep) ? folder : folder + sep)) continue;
    throw new ConfigError(
      flag,
      out,
      `a directory outside of the data (${data}), which would change with every file that the run writes`,
    );
  }
}

/** The path without links of something that need not be there. */
async function realPlace(path: string): Promise<string> {
  const absolute = resolve(path);
  const real = await Deno.realPath(absolute).catch(() => undefined);
  if (real !== undefined) return real;
  const parent = dirname(absolute);
  return parent === absolute ? absolute : join(await realPlace(parent), basename(absolute));
}

/** The path without links of a folder, and of those that links in it lead to. */
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
