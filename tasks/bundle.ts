/**
 * `deno task bundle`: one folder with everything that a Linux machine without a network needs to run the tasks.
 *
 * @module
 */

import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import project from "../deno.json" with { type: "json" };
import { ConfigError, DenoiseError } from "../lib/errors.ts";
import { cifar10 } from "../lib/data/cifar10.ts";
import { shellQuote } from "../lib/shell.ts";
import { PACKAGE } from "../lib/data/npm.ts";
import { DAWN_PACKAGE } from "../lib/gpu/dawn/package.ts";
import { type Compression, COMPRESSIONS, type Entry } from "../bundle/archive.ts";
import { imageEntries } from "../bundle/images.ts";
import { runtimeEntries } from "../bundle/loader.ts";
import { dataPackageEntries, packageEntries } from "../bundle/packages.ts";
import { filesBelow, isInside, isLeftOut, listProject, projectEntries } from "../bundle/project.ts";
import { checkOut, type Part, START, writeBundle } from "../bundle/write.ts";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { integer, oneOf, text } from "../terminal/values.ts";
import { complain, standardOutput } from "../terminal/output.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Folder of the larger trained model. */
const LARGE_MODEL = "checkpoints/cifar10";

/** Folder of a data set in an unpacked bundle. */
const DATA_FOLDER = "data";

/** Options of the command line. */
export interface BundleFlags {
  readonly out: string;
  readonly data: string;
  readonly images?: number;
  readonly pieceSize?: number;
  readonly compress: Compression;
  /** Leave out the larger trained model. */
  readonly withoutModel?: true;
  /** Further files and folders inside the project to carry. */
  readonly more: readonly string[];
}

/**
 * Reads the command line.
 *
 * @throws {CommanderError} if `--out` is missing
 * @throws {ConfigError} if `--images` is given without a data set
 */
export function readBundleFlags(args: string[]): BundleFlags {
  const command = new TaskCommand(
    "bundle",
    "Makes a folder for a Linux machine of the same architecture without a network: Deno, the npm packages, the " +
      "project, the Vulkan loader, and optionally the data set. Of the project it carries the files that git tracks, or " +
      "without git those in the project's own folders. There, run `sh start.sh train`.",
  )
    .usage("--out DIR [options] [PATH...]")
    .argument(
      "[PATH...]",
      "further files inside the project to carry, such as files not yet added to git, or a run to resume: runs/cats",
    )
    .flag("--out <DIR>", "the folder to make, such as ../carry", { value: text(), required: true })
    .flag("--data <WHAT>", "data set: none, cifar10, or a path as for train's --data", {
      value: text(),
      default: "none",
    })
    .flag("--images <N>", "carry only the first training images of the data set, as PNGs", {
      value: integer(1),
      unit: "images",
      defaultText: "all",
    })
    .flag("--piece-size <N>", "cut everything into files of at most this size", {
      value: integer(1),
      unit: "MiB",
      defaultText: "one file a part",
    })
    .flag("--compress <NAME>", "compression; xz needs xz or python3 on the other machine", {
      value: oneOf(COMPRESSIONS),
      default: "xz",
    })
    .switch(
      "--without-model",
      `leave out ${LARGE_MODEL} (18 MB); sample and serve then draw with cifar10-tiny`,
    );
  const flags = command.read<BundleFlags>(args);
  if (flags.images !== undefined && flags.data === "none") {
    throw new ConfigError(
      "--data",
      flags.data,
      "cifar10 or the path of a data set, since --images takes a part of it",
    );
  }
  return { ...flags, more: command.args };
}

/** Part of the data set, and its path in the unpacked bundle. */
async function dataPart({ data, images }: BundleFlags): Promise<{ part: Part; where: string }> {
  let where = "none";
  const entries: Entry[] = [];
  if (images !== undefined) {
    where = `${DATA_FOLDER}/first-${images}`;
    const all = await cifar10({ data: data === "cifar10" ? undefined : data });
    entries.push(...await imageEntries(all, images, where));
  } else if (data === "cifar10") {
    where = "npm";
    entries.push(...await dataPackageEntries(ROOT, PACKAGE));
  } else if (data !== "none") {
    const source = resolve(data);
    where = `${DATA_FOLDER}/${basename(source)}`;
    for await (const file of filesBelow(source, "--data", "none, cifar10, or the path of a data set")) {
      entries.push({ path: where + file.slice(source.length), source: file });
    }
    if (entries.length === 0) throw new ConfigError("--data", data, "a file, or a folder that holds files");
  }
  return { part: { name: "data", entries, dense: true }, where };
}

async function main(args: string[]): Promise<number> {
  const flags = readBundleFlags(args);
  const { out, pieceSize, compress, more } = flags;
  await checkOut(out);
  if (isInside(ROOT, out) && !await isLeftOut(ROOT, out)) {
    const allowed =
      "a folder outside the project, or one that git ignores, so that no bundle gets into the project";
    throw new ConfigError("--out", out, allowed);
  }

  const interruption = new AbortController();
  let exitCode = 0;
  for (const [name, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    if (Deno.build.os === "windows" && name === "SIGTERM") continue;
    Deno.addSignalListener(name, () => {
      exitCode = code;
      interruption.abort(new DenoiseError(`${name}: stopped, nothing was written`));
    });
  }

  try {
    const { part, where } = await dataPart(flags);
    const parts: Part[] = [
      { name: "runtime", entries: await runtimeEntries() },
      {
        name: "packages",
        entries: await packageEntries(
          ROOT,
          await listProject(ROOT),
          [...Object.values(project.imports), DAWN_PACKAGE],
          [PACKAGE],
        ),
      },
      {
        name: "project",
        entries: await projectEntries(ROOT, more, flags.withoutModel ? [LARGE_MODEL] : []),
      },
      part,
    ];
    const facts = {
      project: project.version,
      deno: Deno.version.deno,
      machine: Deno.build.arch,
      data: where,
    };
    const bytes = await writeBundle(out, parts, facts, {
      compression: compress,
      pieceBytes: pieceSize === undefined ? undefined : pieceSize * 2 ** 20,
      signal: interruption.signal,
      onPart: ({ name, entries }, { pieces, unpackedBytes }) => {
        const packed = pieces.reduce((sum, piece) => sum + piece.bytes, 0);
        const files = `${entries.length} ${entries.length === 1 ? "file" : "files"}`;
        const count = `${pieces.length} ${pieces.length === 1 ? "piece" : "pieces"}`;
        standardOutput().write(
          `${name}: ${files}, ${megabytes(unpackedBytes)}, packed ${megabytes(packed)} in ${count}\n`,
        );
      },
    });
    const start = shellQuote(join(basename(out), START));
    standardOutput().write(
      `${out}: ${megabytes(bytes)}; copy all of it, then run there: sh ${start} --help\n`,
    );
    return 0;
  } catch (error) {
    if (exitCode === 0) throw error;
    complain((interruption.signal.reason as Error).message);
    return exitCode;
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    showErrorAndExit(error);
  }
}
