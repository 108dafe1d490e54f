/**
 * What `deno task train` shows and writes of training's events.
 *
 * @module
 */
import { join } from "node:path";
import type { EndEvent, SamplesEvent, StartEvent, StepEvent, TrainEvent } from "../mod.ts";
import { shellQuote } from "../lib/shell.ts";
import { drawOrWarn, writePicture } from "./terminal/pictures.ts";
import { inFlags } from "./terminal/cli.ts";
import { counted, formatDuration, type Reporter, roughly } from "./terminal/progress.ts";
import { FLAG_OF } from "./train_flags.ts";
import { showTuning } from "./terminal/tuning.ts";

/** The first steps compile kernels, and tell little of those to come. */
const FORETELL_AFTER_MS = 5000;

/** Shows training's events, writes its grids, and keeps what is needed at the end. */
export class TrainingReport {
  /** Paths of the grids. */
  readonly artefacts: string[] = [];
  /** Names of the classes that the network knows. */
  classes: readonly string[] = [];
  readonly #report: Reporter;
  readonly #out: string;
  readonly #now: () => number;
  readonly #showTuning: ReturnType<typeof showTuning>;
  #start = 0;
  #resumedFrom = 0;
  /** Where training came to its end. */
  #end: EndEvent | undefined;
  /** Whether it was said how long it will take. */
  #foretold = false;

  /**
   * @param out the run's directory
   * @param now milliseconds since the task began; for tests
   */
  constructor(report: Reporter, out: string, now: () => number = () => performance.now()) {
    this.#report = report;
    this.#out = out;
    this.#now = now;
    this.#showTuning = showTuning(report);
  }

  /** Takes in an event. */
  async on(event: TrainEvent): Promise<void> {
    const report = this.#report;
    // Images are no JSON, and who reads lines wants no ticks.
    const tick = event.type === "validation" || (event.type === "tuning" && !event.finished);
    if (event.type !== "samples" && !tick) report.event(event);
    switch (event.type) {
      case "tuning":
        this.#showTuning(event);
        break;
      case "start":
        this.#begin(event);
        break;
      case "step":
        report.update(event.step, {
          epoch: event.epoch,
          loss: event.loss.toFixed(4),
          "images/s": event.imagesPerSecond.toFixed(1),
          ...(event.skippedSteps ? { overflowed: event.skippedSteps } : {}),
        }, event.remainingSeconds);
        this.#foretell(event);
        break;
      case "epoch": {
        const validation = event.valLoss?.toFixed(5) ?? "none";
        report.line(
          `epoch ${event.epoch}: training loss ${
            event.trainLoss.toFixed(5)
          }, validation loss ${validation}, ` +
            formatDuration(event.seconds),
        );
        break;
      }
      case "samples":
        await this.#writeGrid(event);
        break;
      case "warning":
        report.line(`warning: ${inFlags(event.message, FLAG_OF)}`);
        break;
      case "end":
        report.stop();
        if (event.interrupted) report.line(this.#describeInterruption(event));
        else this.#end = event;
        break;
      case "validation":
      case "checkpoint":
        break;
    }
  }

  /**
   * Says how long all of it took, where training came to its end: the last line.
   * @param drawn whether the pictures are; a signal in the very last step leaves them out
   */
  finish(drawn: boolean): void {
    if (!this.#end) return;
    const left = drawn ? "" : `; the pictures are left to: ${this.#resumeCommand}`;
    this.#report.line(this.#describeEnd(this.#end) + left);
  }

  #begin(event: StartEvent): void {
    const { settings, trainImages, validationImages, parameters, stepsPerEpoch, totalSteps, deviceBytes } =
      event;
    const report = this.#report;
    if (settings.model.numClassEmbeds !== null) this.classes = event.classes;
    this.#start = this.#now();
    this.#resumedFrom = event.resumedFrom;
    report.line(
      `adapter ${event.adapter}; ${settings.preset} network${
        settings.precision === "float16" ? " in float16" : ""
      }, ${(parameters / 1e6).toFixed(2)} M parameters, ` +
        `${Math.round(deviceBytes / 2 ** 20)} MiB on the device`,
    );
    const batch = settings.accumulate > 1 ? `${settings.batch} x ${settings.accumulate}` : settings.batch;
    report.line(
      `${trainImages} training and ${counted(validationImages, "validation image")}, batch ${batch}, ` +
        `${counted(stepsPerEpoch, "step")} an epoch, ${counted(totalSteps, "step")} in all`,
    );
    if (event.resumedFrom > 0) report.line(`resumed after step ${event.resumedFrom}`);
    report.line(`run directory ${this.#out}`);
    report.start(totalSteps, "training", event.resumedFrom);
  }

  /** Says once, as soon as that can be known, how long the run will take. */
  #foretell({ remainingSeconds }: StepEvent): void {
    if (this.#foretold || this.#now() - this.#start < FORETELL_AFTER_MS) return;
    this.#foretold = true;
    this.#report.line(`about ${roughly(remainingSeconds)} to go, validation and samples included`);
  }

  async #writeGrid({ epoch, step, images, columns, rowLabels }: SamplesEvent): Promise<void> {
    const path = join(this.#out, "samples", `epoch-${String(epoch).padStart(4, "0")}.png`);
    const labels = this.classes.length > 0 ? { rowLabels } : {};
    const [written] = await drawOrWarn(this.#report, path, async () => {
      const grid = images.grid({ columns, scale: 2, ...labels });
      await writePicture(path, await grid.png({ epoch: String(epoch), step: String(step) }));
      return [{ path, what: "samples" }];
    });
    if (!written) return;
    this.artefacts.push(path);
    this.#report.event({ type: "samples", epoch, step, path });
    this.#report.line(`samples in ${path}`);
  }

  #describeInterruption({ step }: EndEvent): string {
    if (step === 0) return "stopped before the first step was done; there is nothing to resume";
    return `stopped after step ${step}; go on with: ${this.#resumeCommand}`;
  }

  get #resumeCommand(): string {
    return `deno task train --resume ${shellQuote(this.#out)}`;
  }

  #describeEnd({ step, seconds }: EndEvent): string {
    const here = formatDuration(this.#now() / 1000);
    const done = `done: ${counted(step, "step")}`;
    if (this.#resumedFrom === 0) return `${done} in ${here}`;
    const share = step === this.#resumedFrom ? "none" : step - this.#resumedFrom;
    return `${done}, ${share} of them now, in ${here}; ` +
      `training and validation took ${formatDuration(seconds)} in all`;
  }
}
