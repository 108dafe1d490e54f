/**
 * npm packages of a bundle, laid out as Deno's cache so that Deno finds them without a network.
 *
 * @module
 */

import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { DenoiseError } from "../lib/errors.ts";
import type { Entry } from "./archive.ts";
import { filesBelow } from "./project.ts";

/** Folder for `DENO_DIR` in an unpacked bundle. */
const CACHE_FOLDER = "cache";

/** Cache folder for packages of the default registry, even if they were fetched from a mirror. */
const REGISTRY_FOLDER = `${CACHE_FOLDER}/npm/registry.npmjs.org`;

/**
 * Specifiers in string constants, for packages that are imported dynamically, which `deno info` cannot see. Specifiers
 * with a path after the version are excluded: they name files, mostly in tests.
 */
const NAMED = /"(npm:(?:@[a-z0-9._-]+\/)?[a-z0-9._-]+@\d+\.\d+\.\d+)"/g;

/** Folder of native code for one platform, as packages with binaries for several name it. */
const NATIVE = /\/((?:darwin|freebsd|linux|win32)-(?:arm64|ia32|universal|x64))\//;

/** True unless a file is native code for another platform than this one. */
export function suitsPlatform(file: string, here = `${process.platform}-${process.arch}`): boolean {
  return [undefined, here].includes(NATIVE.exec(file)?.[1]);
}

/** A package in Deno's cache, from `deno info --json`. */
export interface CachedPackage {
  readonly name: string;
  readonly version: string;
  /** Its folder in the cache. */
  readonly localPath: string;
}

/**
 * Packages that the project's modules import, and others, with their dependencies.
 *
 * @param root the project's folder
 * @param files the project's files, relative to it
 * @param others specifiers of the others: all of `deno.json`, which `deno task` resolves before it runs anything, and those
 *   that modules import by computed names
 * @param except packages to leave out, as `npm:NAME@VERSION`, although a module names them
 * @throws {DenoiseError} if a package is not in Deno's cache and cannot be fetched
 */
export async function packageEntries(
  root: string,
  files: readonly string[],
  others: readonly string[],
  except: readonly string[],
): Promise<Entry[]> {
  const specifiers = new Set(others.filter((target) => target.startsWith("npm:")));
  for (const file of files.filter((file) => file.endsWith(".ts"))) {
    const path = join(root, file);
    specifiers.add(pathToFileURL(path).href);
    for (const [, named] of (await Deno.readTextFile(path)).matchAll(NAMED)) {
      if (named !== undefined && !except.includes(named)) specifiers.add(named);
    }
  }
  return await entriesOf(await findPackages(root, [...specifiers]));
}

/**
 * A single package without its dependencies, for packages of data.
 *
 * @param root the project's folder
 * @param specifier the package, as `npm:NAME@VERSION`
 * @throws {DenoiseError} if it is not in Deno's cache and cannot be fetched
 */
export async function dataPackageEntries(root: string, specifier: string): Promise<Entry[]> {
  const packages = await findPackages(root, [specifier]);
  const wanted = packages.filter(({ name, version }) => specifier === `npm:${name}@${version}`);
  return await entriesOf(wanted);
}

/** All packages in a module graph, fetched if missing. */
export async function findPackages(root: string, specifiers: readonly string[]): Promise<CachedPackage[]> {
  const folder = await Deno.makeTempDir({ prefix: "denoise-bundle-" });
  try {
    const entry = join(folder, "all.ts");
    await Deno.writeTextFile(
      entry,
      specifiers.map((specifier) => `import ${JSON.stringify(specifier)};\n`).join(""),
    );
    const config = ["--no-lock", "--config", join(root, "deno.json")];
    const find = async () => {
      const info = JSON.parse(await deno(["info", "--json", ...config, entry]));
      return Object.values<CachedPackage>(info.npmPackages ?? {});
    };
    const packages = await find();
    const present = await Promise.all(packages.map(({ localPath }) => exists(localPath)));
    if (present.every((is) => is)) return packages;
    await deno(["cache", "--quiet", ...config, entry]);
    return await find();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function deno(args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    env: { NO_COLOR: "1" },
  }).output();
  if (success) return new TextDecoder().decode(stdout);
  const said = new TextDecoder().decode(stderr).trim();
  throw new DenoiseError(`cannot find or fetch the npm packages: deno ${args[0]} failed: ${said}`);
}

/** Files of packages for this platform and, for each name, the registry document of the carried versions. */
async function entriesOf(packages: readonly CachedPackage[]): Promise<Entry[]> {
  const byName = Map.groupBy(packages, ({ name }) => name);
  const entries: Entry[] = [];
  for (const [name, each] of [...byName].sort(([a], [b]) => a < b ? -1 : 1)) {
    // A version is listed once for each set of peer dependencies.
    const versions = new Map(each.map(({ version, localPath }) => [version, localPath]));
    for (const [version, localPath] of versions) {
      for await (const file of filesBelow(localPath, name, "a package in Deno's cache")) {
        const inside = file.slice(localPath.length);
        if (!suitsPlatform(inside)) continue;
        entries.push({ path: `${REGISTRY_FOLDER}/${name}/${version}${inside}`, source: file });
      }
    }
    const { localPath } = each[0]!; // groupBy makes no empty groups
    const document = JSON.parse(await Deno.readTextFile(join(localPath, "../registry.json")));
    const pruned = pruneRegistryDocument(document, [...versions.keys()], byName);
    const source = new TextEncoder().encode(JSON.stringify(pruned));
    entries.push({ path: `${REGISTRY_FOLDER}/${name}/registry.json`, source });
  }
  return entries;
}

/** Registry document of a package: the fields that are pruned. */
export interface RegistryDocument {
  readonly versions: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly "dist-tags"?: Readonly<Record<string, string>>;
  readonly time?: Readonly<Record<string, string>>;
}

/** Fields of a version that name other packages. */
const NEEDS = ["dependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta"];

/**
 * Prunes a registry document to what the bundle carries. Without a lock file Deno resolves to the newest matching
 * version, which must be a carried one; and it looks up all dependencies of a version, including optional peers that it
 * does not install.
 *
 * @param document document of the registry
 * @param versions carried versions of the package
 * @param carried names of all packages that are carried
 */
export function pruneRegistryDocument<T extends RegistryDocument>(
  document: T,
  versions: readonly string[],
  carried: { has(name: string): boolean },
): T {
  const needed = (need: string, range: unknown) =>
    carried.has(typeof range === "string" && range.startsWith("npm:") ? aliased(range) : need);
  const pruneVersion = (fields: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(
      Object.entries(fields).map(([field, value]) => [
        field,
        NEEDS.includes(field) ? select(value as Record<string, unknown>, needed) : value,
      ]),
    );
  const kept = select(document.versions, (version) => versions.includes(version));
  return {
    ...document,
    versions: Object.fromEntries(
      Object.entries(kept).map(([version, fields]) => [version, pruneVersion(fields)]),
    ),
    "dist-tags": select(document["dist-tags"] ?? {}, (_tag, version) => versions.includes(version)),
    ...(document.time ? { time: select(document.time, (version) => versions.includes(version)) } : {}),
  };
}

/** Name in an alias `npm:NAME@RANGE`. */
function aliased(range: string): string {
  return range.slice("npm:".length).replace(/(?<=.)@.*$/, "");
}

function select<V>(
  record: Readonly<Record<string, V>>,
  isKept: (key: string, value: V) => boolean,
): Record<string, V> {
  return Object.fromEntries(Object.entries(record).filter(([key, value]) => isKept(key, value)));
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
