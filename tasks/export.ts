/**
 * `deno task export`: a model's files alone, to hand on.
 *
 * @module
 */
import { exportModel, type ExportPrecision } from "../lib/files/export.ts";
import { oneOf, showErrorAndExit, TaskCommand, text } from "./terminal/cli.ts";
import { checkWritable } from "./terminal/pictures.ts";
import { createReporter, reporterMode } from "./terminal/progress.ts";
import { modelDirectory } from "./runs.ts";

interface Flags {
  model?: string;
  out: string;
  precision: ExportPrecision;
  quiet?: true;
}

const NOTES = `
Python's diffusers opens the directory, too: DDPMPipeline.from_pretrained for a model without classes, and
UNet2DModel.from_pretrained(DIR, subfolder="unet") for any.`;

function readFlags(args: string[]): Flags {
  return new TaskCommand(
    "export",
    "Writes a model without what only training needs, as diffusers lays it out.",
  )
    .flag("--model <DIR>", "a run directory, or a diffusers directory", {
      value: text(),
      defaultText: "the newest run under runs/, else the project's own checkpoints/cifar10",
    })
    .flag("--out <DIR>", "directory to make", { value: text(), default: "model" })
    .flag("--precision <TYPE>", "how weights are stored: float16 takes half the space", {
      value: oneOf<ExportPrecision>(["float16", "float32"]),
      default: "float16",
    })
    .switch("--quiet", "print nothing but errors")
    .addHelpText("after", NOTES)
    .read<Flags>(args);
}

async function main(args: string[]): Promise<void> {
  const flags = readFlags(args);
  const report = createReporter({ mode: reporterMode(flags) });
  await checkWritable("--out", flags.out, true);
  const directory = await modelDirectory(flags.model);
  const { path, bytes, parameters } = await exportModel(directory, flags.out, {
    precision: flags.precision,
    onWarning: (message) => report.line(`warning: ${message}`),
  });
  report.line(
    `model ${directory} in ${path}: ${parameters.toLocaleString("en")} weights as ${flags.precision}, ` +
      `${(bytes / 1e6).toFixed(1)} MB`,
  );
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    showErrorAndExit(error, { out: "--out" });
  }
}
