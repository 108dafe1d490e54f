/**
 * `deno task docs`: the documents as a static site, with the API reference and the sources they lead to.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../lib/errors.ts";
import { writeDurable } from "../lib/files/durable.ts";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { path } from "../terminal/values.ts";
import { standardOutput } from "../terminal/output.ts";
import { buildSite, writeApi, writeSite } from "./docs/build.ts";
import { drawPictures } from "./docs/pictures.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

interface Flags {
  out: string;
  pictures?: true;
}

function readFlags(args: string[]): Flags {
  return new TaskCommand(
    "docs",
    "Makes a static site of the documents, with the API reference. Start page: index.html.",
  )
    .flag("--out <DIR>", "folder of the site: a new one, or that of an earlier call, which is replaced", {
      value: path(),
      default: "site",
    })
    .switch(
      "--pictures",
      "instead draw the pictures in docs/ anew that show schedules, guidance and samplers (minutes)",
    )
    .read<Flags>(args);
}

async function main(args: string[]): Promise<void> {
  const { out, pictures } = readFlags(args);
  if (pictures) {
    for (const [name, png] of Object.entries(await drawPictures())) {
      await writeDurable(join(ROOT, "docs", name), png);
      standardOutput().write(`docs/${name}\n`);
    }
    return;
  }
  const replaced = await isSite(out);
  const next = `${out}.new`;
  await Deno.remove(next, { recursive: true }).catch(() => {});
  try {
    const site = await buildSite(ROOT);
    await writeSite(site, next);
    await writeApi(ROOT, next);
    if (replaced) await Deno.remove(out, { recursive: true });
    await Deno.rename(next, out);
    standardOutput().write(
      `${site.files.size} files and the API reference; start page: ${join(out, "index.html")}\n`,
    );
  } finally {
    await Deno.remove(next, { recursive: true }).catch(() => {});
  }
}

/**
 * True for the folder of an earlier site, false if there is none.
 *
 * @throws {ConfigError} if something else is there
 */
async function isSite(out: string): Promise<boolean> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(out)) names.push(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw new ConfigError("--out", out, "a folder that can be written");
  }
  if (names.length === 0 || (names.includes("index.html") && names.includes("site.css"))) return true;
  throw new ConfigError("--out", out, `a new folder, or one with an earlier site (found ${names[0]})`);
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    showErrorAndExit(error);
  }
}
