/**
 * Flags of `deno task quality samplers` and of `deno task quality recipes`.
 *
 * @module
 */
import type { SigmaInterval } from "../../lib/diffusion/guidance.ts";
import {
  type SamplerChoice,
  type SamplerName,
  samplerNames,
  spacingNames,
} from "../../lib/diffusion/sampler.ts";
import { type PresetName, PRESETS } from "../../lib/model/presets.ts";
import { DEFAULT_SAMPLER, DEFAULT_STEPS } from "../../lib/sampling/request.ts";
import { type FlagNames, TaskCommand } from "../../terminal/cli.ts";
import { integer, list, listSchema, number, oneOf, path, type Value } from "../../terminal/values.ts";
import { DATA_FLAG_NAMES, type DataFlags } from "../data_flags.ts";
import { addReferenceFlags } from "../evaluation/flags.ts";
import { addGuidanceFlags, SAMPLING_FLAG_OF } from "../sampling_flags.ts";

/** Values of the flags. */
export interface SamplersFlags extends DataFlags {
  readonly model?: string;
  readonly samplers: readonly SamplerChoice[];
  readonly evaluations: readonly number[];
  readonly images: number;
  readonly solutionImages: number;
  readonly solutionEvaluations: number;
  readonly batch: number;
  readonly time?: number;
  readonly guidance?: number;
  readonly guidanceRescale?: number;
  readonly guidanceInterval?: SigmaInterval;
  readonly seed: number;
  readonly classifier?: string;
  readonly samples: string;
  readonly out: string;
  readonly quiet?: true;
}

/** Values of the flags of `deno task quality recipes`. */
export interface RecipesFlags extends DataFlags {
  readonly preset: PresetName;
  readonly config?: string;
  readonly steps: number;
  readonly batch: number;
  readonly images: number;
  readonly sampler: SamplerName;
  readonly evaluations: number;
  readonly testImages: number;
  readonly guidance?: number;
  readonly seed: number;
  readonly classifier?: string;
  readonly runs: string;
  readonly out: string;
  readonly quiet?: true;
}

const NOTES = `\
Cells compare at equal network evaluations: heun and edm take half as many steps. Images are the same seeds and classes in every \
cell, compared with the test images in the features of the project's classifier. Ctrl-C keeps what is drawn; the same command goes \
on from there, and cells of other calls with the same settings stay in the file.`;

const SAMPLER = oneOf(samplerNames);
const SPACING = oneOf(spacingNames);

/** Samplers, some with a spacing: `dpm++2m,unipc:linspace`; in a settings file `["dpm++2m", "unipc:linspace"]`. */
export const SAMPLERS: Value<SamplerChoice[]> = {
  allowed: "names of samplers, separated by commas",
  schema: listSchema({
    anyOf: [SAMPLER.schema, { type: "string", pattern: `^[^:]+:(${spacingNames.join("|")})$` }],
  }),
  toJson: (choices) =>
    choices.map(({ sampler, spacing }) => spacing === undefined ? sampler : `${sampler}:${spacing}`),
  parse: (list) =>
    list.split(",").map((word) => {
      const [sampler = "", ...spacing] = word.trim().split(":");
      return {
        sampler: SAMPLER.parse(sampler),
        ...spacing.length === 0 ? {} : { spacing: SPACING.parse(spacing.join(":")) },
      };
    }),
};

/** The command line of `deno task quality samplers`. */
export function samplersCommand(): TaskCommand {
  const command = new TaskCommand(
    "quality samplers",
    "Compares samplers at equal numbers of network evaluations; docs/quality.md is made from its file.",
  )
    .flag("--model <DIR>", "a run directory, or a diffusers directory", {
      value: path(),
      defaultText: "the project's own checkpoints/cifar10",
    })
    .flag("--samplers <LIST>", "samplers, each with a spacing if not its own: dpm++2m,unipc:linspace", {
      value: SAMPLERS,
      default: samplerNames.map((sampler): SamplerChoice => ({ sampler })),
      defaultText: "all, each with its own spacing",
    })
    .flag("--evaluations <LIST>", "network evaluations per image, separated by commas", {
      value: list(integer(1, 1000), "whole numbers from 1 to 1000, separated by commas"),
      default: [10, 20],
      defaultText: "10,20",
    })
    .flag("--images <N>", "images per cell, the classes in turn", {
      value: integer(4, 1000000),
      unit: "images",
      default: 50,
    })
    .flag("--solution-images <N>", "images of which the exact solution is drawn, too; 0 for none", {
      value: integer(0, 1000000),
      unit: "images",
      default: 20,
    })
    .flag("--solution-evaluations <N>", "network evaluations of the exact solution", {
      value: integer(1, 1000),
      default: 100,
    })
    .flag("--batch <N>", "images drawn at once, and stored in one part", {
      value: integer(1, 4096),
      unit: "images",
      default: 10,
    })
    .flag("--time <N>", "measure seconds per image instead, of N images a cell, one at a time", {
      value: integer(1, 1000),
      unit: "images",
      defaultText: "no times",
    });
  addGuidanceFlags(command, "as of `deno task sample`")
    .flag("--seed <N>", "random seed: image i (from 0) has seed N + i", { value: integer(0), default: 0 });
  return addReferenceFlags(command, "images to compare with, and a split of test images", {
    size: "that of the model",
    channels: "as of the model",
  })
    .flag("--samples <DIR>", "directory of the images drawn", {
      value: path(),
      default: "evaluation/samplers",
    })
    .flag("--out <FILE>", "file of the results, in JSON", {
      value: path(),
      default: "bench/results/quality/samplers.json",
    })
    .switch("--quiet", "print only errors")
    .settingsFile({ name: "quality-samplers" })
    .notes(NOTES);
}

/** Reads the command line of `deno task quality samplers`. */
export function readSamplersFlags(args: readonly string[]): SamplersFlags {
  return samplersCommand().read<SamplersFlags>(args);
}

/** The command line of `deno task quality recipes`. */
export function recipesCommand(): TaskCommand {
  const command = new TaskCommand(
    "quality recipes",
    "Trains a preset with several objectives at equal compute and compares the models; docs/quality.md is made from its file.",
  )
    .flag("--preset <NAME>", "network preset", { value: oneOf(PRESETS), default: "tiny" })
    .flag("--config <FILE>", "a custom network: config.json of a diffusers UNet2DModel", {
      value: path(),
      defaultText: "the preset's",
    })
    .flag("--steps <N>", "optimizer steps of each run", {
      value: integer(1, 1e9),
      unit: "steps",
      default: 2000,
    })
    .flag("--batch <N>", "images per optimizer step, and images drawn at once", {
      value: integer(1, 4096),
      unit: "images",
      default: 32,
    })
    .flag("--images <N>", "images drawn with each model, the classes in turn", {
      value: integer(4, 1000000),
      unit: "images",
      default: 500,
    })
    .flag("--sampler <NAME>", "sampling method", { value: oneOf(samplerNames), default: DEFAULT_SAMPLER })
    .flag("--evaluations <N>", "network evaluations per image", {
      value: integer(1, 1000),
      default: DEFAULT_STEPS,
    })
    .flag("--test-images <N>", "test images for the errors of estimates of x_0", {
      value: integer(1, 1000000),
      unit: "images",
      default: 500,
    })
    .flag("--guidance <F>", "scale of classifier-free guidance, 1 for none", {
      value: number(0, 100),
      defaultText: "as of `deno task sample`",
    })
    .flag("--seed <N>", "random seed of training, and of the first image", { value: integer(0), default: 0 });
  return addReferenceFlags(command, "images to train on, and a split of test images")
    .flag("--runs <DIR>", "directory of the runs, and of the images drawn", {
      value: path(),
      default: "evaluation/recipes",
    })
    .flag("--out <FILE>", "file of the results, in JSON", {
      value: path(),
      default: "bench/results/quality/recipes.json",
    })
    .switch("--quiet", "print only errors")
    .settingsFile({ name: "quality-recipes" });
}

/** Reads the command line of `deno task quality recipes`. */
export function readRecipesFlags(args: readonly string[]): RecipesFlags {
  return recipesCommand().read<RecipesFlags>(args);
}

/** Flags by the names of the options they set. */
export const QUALITY_FLAGS: FlagNames = {
  ...SAMPLING_FLAG_OF,
  ...Object.fromEntries(
    ["preset", "evaluations", "images", "batch", "seed", "runs", "samples", "out"].map((
      name,
    ) => [name, `--${name}`]),
  ),
  ...DATA_FLAG_NAMES,
};
