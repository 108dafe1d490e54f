/**
 * `deno task train`: trains a model on CIFAR-10 or on images of one's own.
 *
 * @module
 */
import { join } from "node:path";
import { cifar10, DDPM, train, type TrainEvent } from "../mod.ts";
import { checkRunDirectory } from "../lib/train/run_plan.ts";
import { AUTO_SOFTWARE_LIMIT, resolveSettings } from "../lib/train/settings.ts";
import { showErrorAndExit } from "./cli.ts";
import { openTaskGpu } from "./gpu.ts";
import { drawLossCurves, drawProcesses, writePicture } from "./pictures.ts";
import { createReporter, formatDuration, formatNumber, type Reporter, reporterMode } from "./progress.ts";
import { newestRun, newRunDirectory } from "./runs.ts";
import { readFlags, settingsOf } from "./train_flags.ts";

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
      const [first] = model.classes;
      const flag = first === undefined ? "" : ` --class ${/\s/.test(first) ? `"${first}"` : first}`;
      report.line(`draw from it: deno task sample --model ${out}${flag}`);
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
