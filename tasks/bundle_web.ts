/**
 * `deno task bundle:web`: one JavaScript module for browsers.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { standardOutput } from "../terminal/output.ts";
import { path } from "../terminal/values.ts";
import { bundleWeb, WEB_MODULE } from "./web/bundle.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

interface Flags {
  readonly out: string;
  readonly sourceMap?: true;
}

function readFlags(args: string[]): Flags {
  return new TaskCommand(
    "bundle:web",
    `Makes one JavaScript module of web.ts, the part of the package that runs in browsers: ${WEB_MODULE}.`,
  )
    .flag("--out <DIR>", "folder to write to", { value: path(), default: "dist/web" })
    .switch("--source-map", "writes a source map beside the module")
    .read<Flags>(args);
}

async function main(args: string[]): Promise<void> {
  const { out, sourceMap } = readFlags(args);
  const { bytes, gzipped } = await bundleWeb(ROOT, out, { sourceMap });
  const kilobytes = (bytes: number) => `${Math.round(bytes / 1000)} kB`;
  standardOutput().write(
    `${join(out, WEB_MODULE)}: ${kilobytes(bytes)}, ${kilobytes(gzipped)} as servers send it (gzip)\n`,
  );
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    showErrorAndExit(error);
  }
}
