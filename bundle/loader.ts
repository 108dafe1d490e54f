/**
 * The Deno binary and the Vulkan loader of a bundle.
 *
 * @module
 */

import { join } from "node:path";
import { DenoiseError } from "../lib/errors.ts";
import type { Entry } from "./archive.ts";

/** Library name of the Vulkan loader, as Deno opens it. */
const LOADER = "libvulkan.so.1";

const DENO_NOTICE = `bin/deno is Deno ${Deno.version.deno}.
Copyright 2018-2026 the Deno authors. MIT license: https://github.com/denoland/deno/blob/main/LICENSE.md
It holds V8 and other works with licenses of their own, listed there.
`;

const LOADER_NOTICE = `
lib/libvulkan.so.1 is the Vulkan loader, as a Linux distribution ships it.
Copyright The Khronos Group Inc., Valve Corporation, LunarG, Inc. and Google Inc. Apache License, Version 2.0:
https://www.apache.org/licenses/LICENSE-2.0. Source: https://github.com/KhronosGroup/Vulkan-Loader
`;

/** Paths of the loader's licence by distribution. */
const LICENCES = [
  "/usr/share/doc/libvulkan1/copyright",
  "/usr/share/licenses/vulkan-loader/LICENSE.txt",
  "/usr/share/licenses/vulkan-icd-loader/LICENSE.txt",
];

/** Size of an ELF header up to and including `e_machine`. */
const ELF_BYTES = 20;

/**
 * Entries of the running Deno, the Vulkan loader and their notices.
 *
 * @throws {DenoiseError} if this is not Linux, or no loader is installed and none can be downloaded
 */
export async function runtimeEntries(): Promise<Entry[]> {
  const deno = await Deno.realPath(Deno.execPath());
  const machine = await elfMachine(deno);
  if (Deno.build.os !== "linux" || machine === undefined) {
    throw new DenoiseError(
      `a bundle carries the running Deno to a Linux machine: expected a Linux binary, got ${deno}; ` +
        "make the bundle on Linux, on a machine of the same architecture",
    );
  }
  const entries: Entry[] = [{ path: "bin/deno", source: deno }];
  const loader = await installedLoader(machine);
  if (loader !== undefined) entries.push(...await loaderEntries(loader, LICENCES));
  else entries.push(...await downloadLoader());
  const notice = new TextEncoder().encode(DENO_NOTICE + LOADER_NOTICE);
  return [...entries, { path: "NOTICE.txt", source: notice }];
}

/** `e_machine` of an ELF file (its architecture), or undefined for other files. */
async function elfMachine(path: string): Promise<number | undefined> {
  using file = await Deno.open(path);
  const header = new Uint8Array(ELF_BYTES);
  const read = await file.read(header);
  const isElf = read === ELF_BYTES && new TextDecoder().decode(header.subarray(1, 4)) === "ELF";
  return isElf ? new DataView(header.buffer).getUint16(18, true) : undefined;
}

/** Path of the installed loader for an architecture. */
async function installedLoader(machine: number): Promise<string | undefined> {
  const list = await run("ldconfig", ["-p"]) ?? await run("/sbin/ldconfig", ["-p"]) ?? "";
  const known = [...list.matchAll(/^\s*(\S+) .* => (.+)$/gm)]
    .flatMap(([, name, path]) => name === LOADER && path !== undefined ? [path] : []);
  for (const path of [...known, `/usr/lib64/${LOADER}`, `/usr/lib/${LOADER}`]) {
    if (await elfMachine(path).catch(() => undefined) === machine) return await Deno.realPath(path);
  }
}

/** Extracts the loader from Debian's package without installing it. */
async function downloadLoader(): Promise<Entry[]> {
  const folder = await Deno.makeTempDir({ prefix: "denoise-bundle-" });
  try {
    const fetched = await run("apt-get", ["-q", "download", "libvulkan1"], folder);
    const [deb] = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
    const unpacked = fetched === undefined || deb === undefined
      ? undefined
      : await run("dpkg-deb", ["-x", deb, "."], folder);
    if (unpacked === undefined) {
      throw new DenoiseError(
        `no ${LOADER} for this machine's architecture is installed, and apt-get could not download it: install the Vulkan ` +
          "loader (on Debian and Ubuntu: apt-get install libvulkan1), then run this again",
      );
    }
    const library = (await run("find", [folder, "-type", "f", "-name", `${LOADER}*`]))?.split("\n")[0] ?? "";
    const entries = await loaderEntries(library, LICENCES.map((path) => join(folder, path)));
    // The entries outlive the temporary folder.
    return await Promise.all(entries.map(async ({ path, source }) => {
      return { path, source: typeof source === "string" ? await Deno.readFile(source) : source };
    }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function loaderEntries(library: string, licences: readonly string[]): Promise<Entry[]> {
  const entries: Entry[] = [{ path: `lib/${LOADER}`, source: library }];
  for (const path of licences) {
    if (!await Deno.stat(path).then(() => true, () => false)) continue;
    entries.push({ path: `lib/${LOADER}.copyright`, source: path });
    break;
  }
  const apache = "/usr/share/common-licenses/Apache-2.0";
  if (await Deno.stat(apache).then(() => true, () => false)) {
    entries.push({ path: `lib/${LOADER}.Apache-2.0`, source: apache });
  }
  return entries;
}

/** Standard output of a program, or undefined if it is missing or fails. */
async function run(program: string, args: readonly string[], cwd?: string): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command(program, { args: [...args], cwd, stderr: "null" })
      .output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
