/**
 * `deno task bundle:web`: one JavaScript module for browsers, and a page that draws and trains with it.
 *
 * @module
 */
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { InvalidArgumentError } from "commander";
import { ConfigError } from "../lib/errors.ts";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { standardOutput } from "../terminal/output.ts";
import { integer, path, type Value } from "../terminal/values.ts";
import { DATA_HELP } from "./data_flags.ts";
import { replaceSite } from "./site_folder.ts";
import { bundleWeb, WEB_MODULE } from "./web/bundle.ts";
import { packImages, readPageImages } from "./web/images.ts";
import { copyPage, writeModels } from "./web/page.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
/** Models of the page by default: the better one, and the smaller one. */
const SHIPPED = ["cifar10", "cifar10-tiny"].map((name) => join(ROOT, "checkpoints", name));

interface Flags {
  readonly out: string;
  readonly data?: string;
  readonly images?: number;
  readonly model?: readonly string[];
  readonly moduleOnly?: true;
  readonly sourceMap?: true;
}

/** Paths of models, each with a name of its own: the last part of the path. */
const modelPath: Value<string> = {
  ...path(),
  beside(value, earlier) {
    if (!earlier.some((other) => basename(resolve(other)) === basename(resolve(value)))) return;
    throw new InvalidArgumentError(`expected directories of different names, got ${basename(value)} twice`);
  },
};

function readFlags(args: string[]): Flags {
  return new TaskCommand(
    "bundle:web",
    `Makes one JavaScript module of web.ts, the part of the package that runs in browsers (${WEB_MODULE}), and beside it a page ` +
      "that draws and trains with it, for any static host.",
  )
    .flag("--out <DIR>", "folder of the page: a new one, or that of an earlier call, which is replaced", {
      value: path(),
      default: "dist/web",
    })
    .flag("--model <DIR>", "model that the page draws with: a run's directory, or any other model", {
      value: modelPath,
      many: true,
      defaultText: "the project's own cifar10 and cifar10-tiny",
    })
    .flag(
      "--images <N>",
      "packs images beside the page, from which it can train; without, it trains on a folder of the visitor's",
      {
        value: integer(20, 10_000),
        unit: "images",
        defaultText: "none",
      },
    )
    .flag("--data <PATH>", `with --images: where they are from, ${DATA_HELP}`, {
      value: path(),
      defaultText: "CIFAR-10, fetched once (139 MB)",
    })
    .switch("--module-only", `writes ${WEB_MODULE} alone, for a page of your own`, [
      "model",
      "images",
      "data",
    ])
    .switch("--source-map", "writes a source map beside the module")
    .read<Flags>(args);
}

async function main(args: string[]): Promise<void> {
  const { out, model: models = SHIPPED, data, images: count, moduleOnly, sourceMap } = readFlags(args);
  if (data !== undefined && count === undefined) {
    throw new ConfigError("--data", data, "--images N beside it, the number to pack");
  }
  const images = count === undefined ? undefined : await readPageImages(data);
  const lines = await replaceSite(out, [WEB_MODULE], async (folder) => {
    const { bytes, gzipped } = await bundleWeb(ROOT, folder, { sourceMap });
    const module = `${WEB_MODULE}: ${kilobytes(bytes)}, ${kilobytes(gzipped)} as servers send it (gzip)`;
    if (moduleOnly) return [module];
    await copyPage(ROOT, folder);
    const written = await writeModels(models, folder);
    const packed = images && await packImages(images, count!, folder);
    return [
      module,
      ...written.map(({ path, about, bytes }) => `${path}: ${about}, ${kilobytes(bytes)}`),
      ...packed ? [`images: ${packed.count} of ${images.name}, ${kilobytes(packed.bytes)}`] : [],
      `page: ${join(out, "index.html")} (on a host with https, or on this computer by http)`,
    ];
  });
  standardOutput().write(lines.map((line) => `${line}\n`).join(""));
}

function kilobytes(bytes: number): string {
  return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    showErrorAndExit(error);
  }
}
