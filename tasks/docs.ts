/**
 * `deno task docs`: the documents as a static site, with the API reference and the sources they lead to.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeDurable } from "../lib/files/durable.ts";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { path } from "../terminal/values.ts";
import { standardOutput } from "../terminal/output.ts";
import { buildSite, writeApi, writeSite } from "./docs/build.ts";
import { drawPictures } from "./docs/pictures.ts";
import { replaceSite } from "./site_folder.ts";

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
  const count = await replaceSite(out, ["index.html", "site.css"], async (folder) => {
    const site = await buildSite(ROOT);
    await writeSite(site, folder);
    await writeApi(ROOT, folder);
    return site.files.size;
  });
  standardOutput().write(`${count} files and the API reference; start page: ${join(out, "index.html")}\n`);
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    showErrorAndExit(error);
  }
}
