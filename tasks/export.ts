/**
 * `deno task export`: a model's files for sampling, without the training state.
 *
 * @module
 */
import { samplerToDiffusers } from "../lib/diffusion/diffusers_sampler.ts";
import { type SamplerName, samplerNames, type SpacingName, spacingNames } from "../lib/diffusion/sampler.ts";
import { processFromDiffusers } from "../lib/diffusion/trained_process.ts";
import { ConfigError } from "../lib/errors.ts";
import { EXPORT_PRECISIONS, exportModel, type ExportPrecision } from "../lib/files/export.ts";
import { SIGMA_RANGE } from "../lib/model/ema_profiles.ts";
import { commandLine } from "../lib/program.ts";
import { TaskCommand } from "../terminal/cli.ts";
import { number, oneOf, path, text } from "../terminal/values.ts";
import { checkWritable } from "../terminal/pictures.ts";
import { counted } from "../lib/counted.ts";
import { createReporter, reporterMode } from "../terminal/progress.ts";
import { runToExit, type Task } from "../terminal/task.ts";
import { MODEL_DEFAULT, MODEL_HELP, modelDirectory, modelPath, VARIANT_HELP } from "./runs.ts";

interface Flags {
  model?: string;
  variant?: string;
  out: string;
  precision: ExportPrecision;
  emaSigma?: number;
  sampler?: SamplerName;
  spacing?: SpacingName;
  quiet?: true;
}

const NOTES = `\
Python's diffusers can open the directory, too: DDPMPipeline.from_pretrained(DIR) for an unconditional model, and \
UNet2DModel.from_pretrained(DIR, subfolder="unet") for any model.`;

/** The command line of `deno task export`. */
export function exportCommand(): TaskCommand {
  return new TaskCommand(
    "export",
    "Exports a model for sampling, without the training state, as a diffusers pipeline directory.",
  )
    .flag("--model <PATH>", MODEL_HELP, {
      value: modelPath(),
      defaultText: MODEL_DEFAULT,
    })
    .flag("--variant <NAME>", VARIANT_HELP, {
      value: text(),
      defaultText: "the one in full precision, else the most precise",
    })
    .flag("--out <DIR>", "new directory for the model", { value: path(), default: "model" })
    .flag("--precision <TYPE>", "storage type of the weights; float16 halves the size", {
      value: oneOf(EXPORT_PRECISIONS),
      default: "float16",
    })
    .flag(
      "--ema-sigma <F>",
      "relative width of the average of the weights, reconstructed from a run with --ema-profiles",
      {
        value: number(SIGMA_RANGE.above, SIGMA_RANGE.below, { above: true, below: true }),
        defaultText: "the run's EMA",
      },
    )
    .flag(
      "--sampler <NAME>",
      "sampler that the scheduler configuration names, for diffusers and for this project",
      {
        value: oneOf(samplerNames),
        defaultText: "the model's own configuration, unchanged",
      },
    )
    .flag("--spacing <NAME>", "spacing of the noise levels for --sampler", {
      value: oneOf(spacingNames),
      defaultText: `as \`${commandLine("sample")}\` spaces them with that sampler`,
    })
    .switch("--quiet", "print only errors")
    .settingsFile({ name: "export" })
    .notes(NOTES);
}

async function main(args: readonly string[]): Promise<void> {
  const flags = exportCommand().read<Flags>(args);
  const report = createReporter({ mode: reporterMode(flags) });
  await checkWritable("--out", flags.out, true);
  const { sampler, spacing } = flags;
  if (spacing !== undefined && sampler === undefined) {
    throw new ConfigError("spacing", spacing, "no value without --sampler");
  }
  const directory = await modelDirectory(flags.model, flags.variant);
  const { path, bytes, parameters, ema } = await exportModel(directory, flags.out, {
    precision: flags.precision,
    emaSigma: flags.emaSigma,
    variant: flags.variant,
    ...(sampler === undefined ? {} : {
      scheduler: (config) => samplerToDiffusers(processFromDiffusers(config ?? {}), { sampler, spacing }),
    }),
    onWarning: (message) => report.line(`warning: ${message}`),
  });
  report.line(
    `exported ${directory} to ${path}: ${parameters.toLocaleString("en")} weights in ${flags.precision}, ` +
      `${(bytes / 1e6).toFixed(1)} MB`,
  );
  if (ema) {
    const { step, snapshots, error } = ema;
    report.line(
      `the average of width ${flags.emaSigma} at step ${step}, from ${counted(snapshots, "snapshot")}; ` +
        `its profile differs by ${(100 * error).toPrecision(2)} % from the one wanted`,
    );
  }
}

/** `deno task export`. */
export const exportTask: Task = {
  main,
  flags: {
    out: "--out",
    variant: "--variant",
    emaSigma: "--ema-sigma",
    emaProfiles: "--ema-profiles",
    sampler: "--sampler",
    spacing: "--spacing",
  },
};

if (import.meta.main) await runToExit(exportTask, Deno.args);
