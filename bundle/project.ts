/**
 * Project files of a bundle.
 *
 * @module
 */

import { isAbsolute, join, relative, resolve, sep } from "node:path";
import { ConfigError } from "../lib/errors.ts";
import type { Entry } from "./archive.ts";

/** Folder of the project in an unpacked bundle. */
const PROJECT_FOLDER = "project";

/** Folders and files of the project, for a copy that is not a git clone. */
export const PROJECT_PARTS: readonly string[] = [
  ...["bench", "bundle", "checkpoints", "deploy", "docs", "examples", "kernels", "lib"],
  ...["notebooks", "schemas", "server", "tasks", "terminal", "tests"],
  ...[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
  ],
  ...["cli.ts", "deno.json", "mod.ts", "web.ts"],
];

/**
 * Lists the project's files in the working tree: in a git clone those that git tracks, otherwise those of the project's
 * own folders, without hidden ones. Stray files may hold secrets.
 *
 * @param root the project's folder
 * @returns paths relative to it, sorted, with `/`
 */
export async function listProject(root: string): Promise<string[]> {
  const listed = await git(root, ["ls-files", "-z", "--cached"]);
  const paths = listed?.split("\0").filter((path) => path !== "") ?? [];
  // For a copy inside another repository, git lists none or only some of the files.
  if (!paths.includes("deno.json")) return (await Array.fromAsync(walk(root))).sort();
  const present: string[] = [];
  // During a merge, git lists a file several times.
  for (const path of new Set(paths)) if (await isFile(join(root, path))) present.push(path);
  return present.sort();
}

/**
 * True if a path is out of the project's way: ignored by git or, outside a clone, not in a folder of the project.
 *
 * @param path a path inside the project, which need not exist
 */
export async function isLeftOut(root: string, path: string): Promise<boolean> {
  const inside = relative(root, resolve(path));
  if (await git(root, ["check-ignore", "-q", "--", inside]) !== undefined) return true;
  const [first = ""] = inside.split(sep);
  const isRepository = await git(root, ["rev-parse", "--git-dir"]) !== undefined;
  return !isRepository && !PROJECT_PARTS.includes(first) && first !== "";
}

/** True if a path is a folder or inside it. */
export function isInside(folder: string, path: string): boolean {
  const inside = relative(folder, resolve(path));
  return inside !== ".." && !inside.startsWith(`..${sep}`) && !isAbsolute(inside);
}

/**
 * Entries of the project's files.
 *
 * @param root the project's folder
 * @param more files and folders inside it to carry too, such as a run to resume
 * @param without folders to leave out, relative to `root`
 * @throws {ConfigError} if one of them does not exist or is outside the project
 */
export async function projectEntries(
  root: string,
  more: readonly string[] = [],
  without: readonly string[] = [],
): Promise<Entry[]> {
  const left = (path: string) => without.some((folder) => path.startsWith(`${folder}/`));
  const paths = new Set((await listProject(root)).filter((path) => !left(path)));
  for (const path of more) {
    const allowed = "files and folders inside the project, to which the task's paths lead there too";
    if (!isInside(root, path)) throw new ConfigError("PATH", path, allowed);
    for await (const file of filesBelow(path, "PATH", allowed)) paths.add(relative(root, resolve(file)));
  }
  return [...paths].map((path) => {
    const name = path.split(sep).join("/");
    return { path: `${PROJECT_FOLDER}/${name}`, source: join(root, path) };
  });
}

/**
 * Yields a file, or all files below a folder in order.
 *
 * @param field option that named the path, for errors
 * @param allowed values that the option allows, for errors
 * @throws {ConfigError} if the path does not exist
 */
export async function* filesBelow(path: string, field: string, allowed: string): AsyncGenerator<string> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new ConfigError(field, path, `${allowed}; it does not exist`);
  }
  if (info.isFile) yield path;
  if (!info.isDirectory) return;
  const names = await Array.fromAsync(Deno.readDir(path), ({ name }) => name);
  for (const name of names.sort()) yield* filesBelow(join(path, name), field, allowed);
}

async function* walk(root: string, folder = ""): AsyncGenerator<string> {
  for await (const { name, isFile, isDirectory } of Deno.readDir(join(root, folder))) {
    const isOurs = folder === "" ? PROJECT_PARTS.includes(name) : !name.startsWith(".");
    if (!isOurs) continue;
    const path = folder === "" ? name : `${folder}/${name}`;
    if (isFile) yield path;
    else if (isDirectory) yield* walk(root, path);
  }
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then((info) => info.isFile, () => false); // a dangling link counts as no file
}

/** Standard output of git, or undefined if it is missing or fails. */
async function git(root: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("git", { args: ["-C", root, ...args], stderr: "null" })
      .output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
