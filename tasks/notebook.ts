/**
 * `deno task notebook`: runs a notebook, and stores what its cells put out.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeDurable } from "../lib/files/durable.ts";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { standardOutput } from "../terminal/output.ts";
import { path } from "../terminal/values.ts";
import { executeNotebook } from "./notebook/execute.ts";
import { encodeNotebook } from "./notebook/notebook_file.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

interface Flags {
  notebook: string;
  out?: string;
}

function readFlags(args: string[]): Flags {
  return new TaskCommand(
    "notebook",
    "Runs a notebook from top to bottom in Deno's Jupyter kernel, and stores its outputs. Needs jupyter-nbconvert.",
  )
    .flag("--notebook <FILE>", "the notebook", {
      value: path(),
      default: join(ROOT, "notebooks/quickstart.ipynb"),
      defaultText: "notebooks/quickstart.ipynb",
    })
    .flag("--out <FILE>", "where to write it with its outputs", {
      value: path(),
      defaultText: "the notebook itself",
    })
    .read<Flags>(args);
}

if (import.meta.main) {
  try {
    const { notebook, out = notebook } = readFlags(Deno.args);
    const start = performance.now();
    const executed = await executeNotebook(notebook);
    await writeDurable(out, new TextEncoder().encode(encodeNotebook(executed)));
    const seconds = (performance.now() - start) / 1000;
    standardOutput().write(`${out}: ${executed.cells.length} cells in ${seconds.toFixed()} s\n`);
  } catch (error) {
    showErrorAndExit(error);
  }
}
