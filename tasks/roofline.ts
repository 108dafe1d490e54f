/**
 * `deno task roofline`: predicted time of each kernel of a training step and of a network pass on a GPU, computed without one.
 *
 * @module
 */
import { writeDurable } from "../lib/files/durable.ts";
import { type Precision, PRECISIONS } from "../lib/model/precision.ts";
import { presetsRoofline, ROOFLINE_BATCH, ROOFLINE_MODELS } from "../bench/roofline_gpu.ts";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { integer, oneOf, text } from "../terminal/values.ts";
import { standardOutput } from "../terminal/output.ts";
import { checkWritable } from "../terminal/pictures.ts";

interface Flags {
  out?: string;
  report?: string;
  batch: number;
  precision?: Precision;
}

function readFlags(args: string[]): Flags {
  return new TaskCommand(
    "roofline",
    `Predicts each kernel of a training step and of a network pass of sampling of ${
      ROOFLINE_MODELS.join(" and ")
    } on a GPU, from the limits of the GPU.`,
  )
    .flag("--out <FILE>", "write the page, in Markdown, into a file; default: print it", { value: text() })
    .flag(
      "--report <FILE>",
      "report of `deno task bench --profile --json FILE`, with the limits of the GPU",
      {
        value: text(),
        defaultText: "that of an NVIDIA H200",
      },
    )
    .flag("--batch <N>", "batch size", { value: integer(1, 4096), unit: "images", default: ROOFLINE_BATCH })
    .flag("--precision <TYPE>", "precision of the step", { value: oneOf(PRECISIONS), defaultText: "both" })
    .read<Flags>(args);
}

async function main(args: string[]): Promise<void> {
  const { out, ...options } = readFlags(args);
  if (out !== undefined) await checkWritable("--out", out);
  const page = await presetsRoofline(options);
  if (out !== undefined) return await writeDurable(out, new TextEncoder().encode(page));
  const output = standardOutput();
  output.write(page);
  if (output.incomplete) Deno.exitCode = 1;
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    showErrorAndExit(error);
  }
}
