/**
 * Output of `deno task train`: progress, messages, and sample grids.
 *
 * @module
 */
import { join } from "node:path";
import type {
  EndEvent,
  EpochEvent,
  EvaluationEvent,
  SamplesEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
} from "../mod.ts";
import type { Backend } from "../lib/gpu/backend.ts";
import { describeBits } from "../lib/evaluation/likelihood_report.ts";
import { METRICS } from "../lib/train/metrics.ts";
import { inPrecision } from "../lib/model/precision.ts";
import { commandLine } from "../lib/program.ts";
import { drawOrWarn, writePicture } from "../terminal/pictures.ts";
import { inFlags } from "../terminal/cli.ts";
import { counted } from "../lib/counted.ts";
import { formatDuration, type Reporter, roughly } from "../terminal/progress.ts";
import { describeImages } from "./data_sheet.ts";
import { ShownEpochs } from "./shown_epochs.ts";
import { FLAG_OF } from "./train_flags.ts";
import { showTuning } from "../terminal/tuning.ts";

/** Delay of the estimate, because the first steps compile kernels. */
const ESTIMATE_AFTER_MS = 5000;

/** Optimizer steps below which images are little more than noise: CIFAR-10's quick run has 780, and gives mottle. */
const FEW_STEPS = 500;

/** The run of a report. */
export interface ReportedRun {
  /** Run directory. */
  readonly out: string;
  /** Backend of the command line, which commands to resume repeat; undefined: none was given. */
  readonly backend?: Backend;
  /** Value of `--tensorboard`, likewise. */
  readonly tensorboard?: string;
}

/** Shows training events, writes sample grids, and keeps what is needed at the end. */
export class TrainingReport {
  /** Paths of the sample grids. */
  readonly artefacts: string[] = [];
  /** Class names; empty for an unconditional network. */
  classes: readonly string[] = [];
  readonly #report: Reporter;
  readonly #out: string;
  readonly #run: ReportedRun;
  readonly #now: () => number;
  readonly #showTuning: ReturnType<typeof showTuning>;
  #start = 0;
  #resumedFrom = 0;
  /** Optimizer steps at the last report, and in all. */
  #step = 0;
  #totalSteps = 0;
  /** Set if training was not interrupted. */
  #end: EndEvent | undefined;
  /** True after the estimate of the remaining time was shown. */
  #estimated = false;
  #epochs: ShownEpochs = new ShownEpochs(1);
  /** True while the bar is that of an evaluation. */
  #evaluating = false;

  /**
   * @param now milliseconds since the task began; for tests
   */
  constructor(report: Reporter, run: ReportedRun, now: () => number = () => performance.now()) {
    this.#report = report;
    this.#out = run.out;
    this.#run = run;
    this.#now = now;
    this.#showTuning = showTuning(report);
  }

  /** Handles an event. */
  async on(event: TrainEvent): Promise<void> {
    const report = this.#report;
    if (this.#evaluating && event.type !== "evaluating") this.#resumeBar();
    // Samples hold images, which are not JSON; programs do not need ticks.
    const tick = event.type === "validation" || event.type === "evaluating" ||
      (event.type === "tuning" && !event.finished);
    if (event.type !== "samples" && !tick) report.event(event);
    switch (event.type) {
      case "tuning":
        this.#showTuning(event);
        break;
      case "data":
        for (const line of describeImages(event)) report.line(line);
        break;
      case "start":
        this.#begin(event);
        break;
      case "step":
        this.#step = event.step;
        report.update(event.step, {
          epoch: event.epoch,
          loss: event.loss.toFixed(4),
          "images/s": event.imagesPerSecond.toFixed(1),
          ...(event.skippedSteps ? { overflowed: event.skippedSteps } : {}),
        }, this.#isFirstStep(event) ? undefined : event.remainingSeconds);
        this.#showEstimate(event);
        break;
      case "epoch":
        if (this.#epochs.shows(event)) report.line(describeEpoch(event));
        break;
      case "samples":
        await this.#writeGrid(event);
        break;
      case "evaluating":
        if (!this.#evaluating) report.start(event.total, "evaluation, network passes");
        this.#evaluating = true;
        report.update(Math.round(event.done));
        break;
      case "evaluation":
        report.line(describeEvaluation(event));
        break;
      case "warning":
        report.line(`warning: ${inFlags(event.message, FLAG_OF)}`);
        break;
      case "note":
        report.line(`note: ${inFlags(event.message, FLAG_OF)}`);
        break;
      case "end":
        report.stop();
        this.#showLastEpoch();
        if (event.interrupted) report.line(this.#describeInterruption(event));
        else this.#end = event;
        break;
      case "validation":
      case "checkpoint":
        break;
    }
  }

  /**
   * Shows the last line, with the total time, unless training was interrupted.
   * @param drawn false if a signal in the last step prevented the pictures
   */
  finish(drawn: boolean): void {
    if (!this.#end) return;
    const { best } = this.#end;
    if (best) {
      this.#report.line(
        `best model (validation loss ${best.valLoss.toFixed(5)}, epoch ${best.epoch}): ${best.path}`,
      );
    }
    const left = drawn ? "" : `; to draw the pictures: ${this.#resumeCommand}`;
    this.#report.line(this.#describeEnd(this.#end) + left);
  }

  #begin(event: StartEvent): void {
    const {
      settings,
      trainImages,
      validationImages,
      parameters,
      stepsPerEpoch,
      totalSteps,
      deviceBytes,
      imagesOn,
    } = event;
    const report = this.#report;
    if (settings.model.numClassEmbeds !== null) this.classes = event.classes;
    this.#start = this.#now();
    this.#resumedFrom = event.resumedFrom;
    report.line(
      `adapter ${event.adapter}; ${settings.preset} network${inPrecision(settings.precision)}, ` +
        `${(parameters / 1e6).toFixed(2)} M parameters, ` +
        `${Math.round(deviceBytes / 2 ** 20)} MiB on the device` +
        (imagesOn === "device" ? ", images included" : ""),
    );
    const batch = settings.accumulate > 1 ? `${settings.batch} x ${settings.accumulate}` : settings.batch;
    report.line(
      `${trainImages} training and ${counted(validationImages, "validation image")}, batch ${batch}, ` +
        `${counted(stepsPerEpoch, "step")} per epoch, ${counted(totalSteps, "step")} in total`,
    );
    if (imagesOn === "host") report.line(`images are streamed from ${event.imageFile ?? "memory"}`);
    if (event.resumedFrom > 0) report.line(`resumed after step ${event.resumedFrom}`);
    else if (totalSteps < FEW_STEPS) {
      report.line(
        `note: ${counted(totalSteps, "step")} ${
          totalSteps === 1 ? "is" : "are"
        } too few to learn much from; images will be noise (--steps 3000)`,
      );
    }
    this.#epochs = new ShownEpochs(totalSteps / stepsPerEpoch);
    const { every } = this.#epochs;
    if (every > 1) {
      const file = join(this.#out, METRICS);
      report.line(
        `note: of ${
          Math.ceil(totalSteps / stepsPerEpoch)
        } epochs, one in ${every} is shown, unless they take half a minute each; all are in ${file}`,
      );
    }
    report.line(`run directory ${this.#out}`);
    [this.#step, this.#totalSteps] = [event.resumedFrom, totalSteps];
    report.start(totalSteps, "training", event.resumedFrom);
  }

  #showLastEpoch(): void {
    const last = this.#epochs.takeLast();
    if (last) this.#report.line(describeEpoch(last));
  }

  /** Shows the training's bar again. */
  #resumeBar(): void {
    this.#evaluating = false;
    this.#report.start(this.#totalSteps, "training", this.#step);
  }

  /** True for the first step here, whose time is mostly that of compiling kernels. */
  #isFirstStep({ step }: StepEvent): boolean {
    return step <= this.#resumedFrom + 1;
  }

  /** Shows an estimate of the remaining time, once. */
  #showEstimate(event: StepEvent): void {
    if (this.#estimated || this.#isFirstStep(event)) return;
    if (this.#now() - this.#start < ESTIMATE_AFTER_MS) return;
    this.#estimated = true;
    this.#report.line(`about ${roughly(event.remainingSeconds)} left, including validation and samples`);
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
    if (step === 0) return "stopped before the first step; there is nothing to resume";
    return `stopped after step ${step}; resume with: ${this.#resumeCommand}`;
  }

  get #resumeCommand(): string {
    const { out, backend, tensorboard } = this.#run;
    const others = [
      ...backend === undefined ? [] : ["--backend", backend],
      ...tensorboard === undefined ? [] : ["--tensorboard", tensorboard],
    ];
    return commandLine("train", ["--resume", out, ...others]);
  }

  #describeEnd({ step, seconds, stoppedEarly }: EndEvent): string {
    const here = formatDuration(this.#now() / 1000);
    const done = `${stoppedEarly ? "stopped early" : "done"}: ${counted(step, "step")}`;
    if (this.#resumedFrom === 0) return `${done} in ${here}`;
    const share = step === this.#resumedFrom ? "none" : step - this.#resumedFrom;
    return `${done}, ${share} of them now, in ${here} with data, samples and pictures; ` +
      `training and validation of all steps took ${formatDuration(seconds)}`;
  }
}

/** One line about an epoch. */
function describeEpoch({ epoch, trainLoss, valLoss, seconds }: EpochEvent): string {
  const validation = valLoss?.toFixed(5) ?? "none";
  return `epoch ${epoch}: training loss ${trainLoss.toFixed(5)}, validation loss ${validation}, ` +
    formatDuration(seconds);
}

/** One line about an evaluation. */
function describeEvaluation(event: EvaluationEvent): string {
  const bits = `${describeBits(event)} bits per dimension on ${counted(event.images, "validation image")}`;
  const { samples } = event;
  const distance = samples
    ? `; ${counted(samples.count, "sample")}: Fréchet distance ${samples.frechetDistance.toFixed(2)}` +
      (samples.classConsistency === null
        ? ""
        : `, class consistency ${(100 * samples.classConsistency).toFixed(1)} %`)
    : "";
  return `evaluation after epoch ${event.epoch}: ${bits}${distance}`;
}
