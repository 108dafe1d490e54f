/**
 * A training run as TensorBoard shows it: scalars by optimizer step, sample grids, and settings as text and hyperparameters.
 *
 * @module
 */
import type {
  DataEvent,
  EpochEvent,
  EvaluationEvent,
  SamplesEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
} from "../train/events.ts";
import { imageValue, scalarValue, type SummaryValue, textValue } from "./event.ts";
import { EventFile } from "./event_file.ts";
import { type HyperParameter, sessionEnd, sessionStart } from "./hparams.ts";

/** Milliseconds between writes during an epoch. */
const FLUSH_MS = 2000;
/** Enlargement of sample grids, as in the run's pictures. */
const GRID_SCALE = 2;

/** Options of {@linkcode TrainingLog}. */
export interface TrainingLogOptions {
  /** Directory of the event files. */
  readonly directory: string;
  /** Called when events cannot be written, which does not end the run. */
  readonly onWarning: (message: string) => void;
}

/** Writes the events of a run to an event file. */
export class TrainingLog {
  readonly #options: TrainingLogOptions;
  #file: EventFile | undefined;
  #flushed = 0;
  /** The run's images. */
  #data: DataEvent | undefined;

  constructor(options: TrainingLogOptions) {
    this.#options = options;
  }

  /**
   * Handles an event of training; those before the start are ignored.
   *
   * @throws {CheckpointError} if the file cannot be created at the start
   */
  async on(event: TrainEvent): Promise<void> {
    switch (event.type) {
      case "data":
        this.#data = event;
        return;
      case "start": {
        const { resumedFrom } = event;
        this.#file = await EventFile.create(this.#options.directory, { ...this.#options, resumedFrom });
        this.#add(resumedFrom, settingsValues(event, this.#data));
        return await this.#flush();
      }
      case "step":
        this.#add(event.step, stepValues(event));
        return performance.now() - this.#flushed < FLUSH_MS ? undefined : await this.#flush();
      case "epoch":
        this.#add(event.step, epochValues(event));
        return await this.#flush();
      case "evaluation":
        this.#add(event.step, evaluationValues(event));
        return await this.#flush();
      case "samples":
        this.#add(event.step, [await samplesValue(event)]);
        return await this.#flush();
      case "end":
        this.#add(event.step, [sessionEnd(event.interrupted ? "failure" : "success", Date.now() / 1000)]);
        return await this.#flush();
    }
  }

  #add(step: number, values: readonly SummaryValue[]): void {
    this.#file?.add({ wallTime: Date.now() / 1000, step }, values);
  }

  async #flush(): Promise<void> {
    await this.#file?.flush();
    this.#flushed = performance.now();
  }
}

function stepValues({ epoch, loss, learningRate, gradientNorm, imagesPerSecond, ...mixed }: StepEvent) {
  return scalars({
    "loss/training": loss,
    "optimizer/learning_rate": learningRate,
    "optimizer/gradient_norm": gradientNorm,
    "optimizer/loss_scale": mixed.lossScale,
    "optimizer/skipped_steps": mixed.skippedSteps,
    "time/images_per_second": imagesPerSecond,
    "time/epoch": epoch,
  });
}

function epochValues({ trainLoss, valLoss, seconds }: EpochEvent): SummaryValue[] {
  return scalars({
    "loss/training_of_epoch": trainLoss,
    "loss/validation": valLoss,
    "time/seconds_of_epoch": seconds,
  });
}

function evaluationValues({ bitsPerDimension, standardError, samples }: EvaluationEvent): SummaryValue[] {
  return scalars({
    "evaluation/bits_per_dimension": bitsPerDimension,
    "evaluation/bits_per_dimension_standard_error": standardError,
    "evaluation/frechet_distance": samples?.frechetDistance,
    "evaluation/class_consistency": samples?.classConsistency,
  });
}

async function samplesValue({ images, columns, rowLabels }: SamplesEvent): Promise<SummaryValue> {
  const grid = images.grid({ columns, scale: GRID_SCALE, ...rowLabels.length > 0 ? { rowLabels } : {} });
  return imageValue("samples", await grid.png(), grid.width, grid.height);
}

function scalars(values: Readonly<Record<string, number | null | undefined>>): SummaryValue[] {
  return Object.entries(values).flatMap(([tag, value]) =>
    typeof value === "number" ? [scalarValue(tag, value)] : []
  );
}

/** Settings as hyperparameters, and with the run's data and device as a table. */
function settingsValues(event: StartEvent, data: DataEvent | undefined): SummaryValue[] {
  const { settings: { model, ...settings }, adapter, parameters, trainImages, validationImages } = event;
  const { blockOutChannels, layersPerBlock, dropout } = model;
  const run = { ...settings, channels: blockOutChannels, layersPerBlock, dropout };
  const rows = {
    ...run,
    ...data && { data: data.name, digest: data.digest },
    ...{ parameters, trainImages, validationImages, adapter },
  };
  const table = Object.entries(rows).map(([name, value]) => `| ${name} | ${inCell(value)} |`);
  return [
    textValue("settings/text_summary", ["| setting | value |", "| --- | --- |", ...table].join("\n")),
    sessionStart(hyperParameters(run), Date.now() / 1000),
  ];
}

/** Values that are not null; lists as text. */
function hyperParameters(values: object): Record<string, HyperParameter> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== null && value !== undefined)
      .map(([name, value]) => [name, typeof value === "object" ? String(value) : value as HyperParameter]),
  );
}

/** A value in a cell of a Markdown table, which a bar would end. */
function inCell(value: unknown): string {
  return String(value).replace(
    /[\\|<>&`*_[\]\n]/g,
    (character) => character === "\n" ? " " : `\\${character}`,
  );
}
