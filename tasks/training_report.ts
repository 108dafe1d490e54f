/**
 * What `deno task train` shows and writes of training's events.
 *
 * @module
 */
import { join } from "node:path";
import type { EndEvent, SamplesEvent, StartEvent, TrainEvent } from "../mod.ts";
import { drawOrWarn, writePicture } from "./pictures.ts";
import { formatDuration, formatNumber, type Reporter } from "./progress.ts";

/** Shows training's events, writes its grids, and keeps what is needed at the end. */
export class TrainingReport {
  /** Paths of the grids. */
  readonly artefacts: string[] = [];
  /** Names of the classes that the network knows. */
  classes: readonly string[] = [];
  readonly #report: Reporter;
  readonly #out: string;
  #start = 0;

  /** @param out the run's directory */
  constructor(report: Reporter, out: string) {
    this.#report = report;
    this.#out = out;
  }

  /** Takes in an event. */
  async on(event: TrainEvent): Promise<void> {
    const report = this.#report;
    // Images are no JSON, and who reads lines wants no ticks.
    if (event.type !== "samples" && event.type !== "validation") report.event(event);
    switch (event.type) {
      case "start":
        this.#begin(event);
        break;
      case "step":
        report.update(event.step, {
          epoch: event.epoch,
          loss: formatNumber(event.loss),
          "images/s": formatNumber(event.imagesPerSecond),
        });
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
        report.line(`warning: ${event.message}`);
        break;
      case "end":
        report.stop();
        report.line(this.#describeEnd(event));
        break;
      case "validation":
      case "checkpoint":
        break;
    }
  }

  #begin(event: StartEvent): void {
    const { settings, trainImages, validationImages, parameters, stepsPerEpoch, totalSteps, deviceBytes } =
      event;
    const report = this.#report;
    if (settings.model.numClassEmbeds !== null) this.classes = event.classes;
    this.#start = performance.now();
    report.line(
      `adapter ${event.adapter}; ${settings.preset} network, ${
        (parameters / 1e6).toFixed(2)
      } M parameters, ` +
        `${Math.round(deviceBytes / 2 ** 20)} MiB on the device`,
    );
    const batch = settings.accumulate > 1 ? `${settings.batch} x ${settings.accumulate}` : settings.batch;
    report.line(
      `${trainImages} training and ${validationImages} validation images, batch ${batch}, ` +
        `${stepsPerEpoch} steps an epoch, ${totalSteps} steps in all`,
    );
    if (event.resumedFrom > 0) report.line(`resumed after step ${event.resumedFrom}`);
    report.line(`run directory ${this.#out}`);
    report.start(totalSteps, "training", event.resumedFrom);
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

  #describeEnd({ interrupted, step, seconds }: EndEvent): string {
    if (interrupted && step === 0) {
      return "stopped before the first step was done; there is nothing to resume";
    }
    if (interrupted) return `stopped after step ${step}; go on with: deno task train --resume ${this.#out}`;
    const all = (performance.now() - this.#start) / 1000;
    const [training, total] = [formatDuration(seconds), formatDuration(all)];
    return `done: ${step} steps in ${training} (${total} with samples and saves)`;
  }
}
