/**
 * One model directory on the device with its running batch, as the worker serves it.
 *
 * @module
 */
import { basename } from "node:path";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { type DrawDefaults, planDraw } from "../../lib/sampling/request.ts";
import type { RunningBatch } from "../../lib/sampling/running_batch.ts";
import { CheckpointError } from "../../lib/errors.ts";
import { mostSteps } from "../../lib/diffusion/sampler.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { Images } from "../../lib/image/images.ts";
import { imageSize } from "../../lib/model/config.ts";
import { unetParameters } from "../../lib/model/network.ts";
import type { Precision } from "../../lib/model/precision.ts";
import { type TuneMode, TUNING_DIRECTORY, type TuningProgress } from "../../lib/tuning/tuning.ts";
import type { ImageJob, Pixels, ServedModel } from "./engine.ts";
import { loadWithStep } from "./training_step.ts";

/** What {@linkcode Serving.open} needs. */
export interface ServingOptions {
  readonly path: string;
  /** Network rows of the batch. */
  readonly rows: number;
  /** Told when a damaged file was replaced by an older one. */
  readonly onWarning: (message: string) => void;
  /** What requests are filled in with where they do not say. */
  readonly defaults?: DrawDefaults;
  /** How activations lie in memory; float32 if not given. */
  readonly precision?: Precision;
  /** When kernels are tried out; `auto` if not given. */
  readonly tune?: TuneMode;
  /** Told how far that is. */
  readonly onTuning?: (progress: TuningProgress) => void;
}

/** A model and its batch. */
export class Serving {
  readonly facts: ServedModel;
  readonly batch: RunningBatch;
  readonly #model: DDPM;

  private constructor(model: DDPM, batch: RunningBatch, facts: ServedModel) {
    this.#model = model;
    this.batch = batch;
    this.facts = facts;
  }

  /**
   * Loads a directory, and draws an image to see that it can.
   *
   * @throws {CheckpointError | ConfigError | DeviceError} and leaves nothing on the device
   */
  static async open(gpu: Gpu, { path, rows, ...options }: ServingOptions): Promise<Serving> {
    const load = () => DDPM.load(path, { gpu, tuningDirectory: TUNING_DIRECTORY, ...options });
    const { model, step } = await loadWithStep(path, load);
    try {
      // A model whose every request would fail is refused now.
      planDraw({}, model, options.defaults);
      const batch = await model.startBatch({ rows });
      await checkOutput(batch, path);
      return new Serving(model, batch, factsOf(model, path, step, await stepSeconds(model, batch)));
    } catch (error) {
      await model.close();
      throw error;
    }
  }

  /**
   * Puts an image into the batch.
   * @throws {ConfigError} naming what is wrong with it
   */
  add(image: ImageJob): void {
    this.batch.add(image);
  }

  /**
   * A picture's bytes.
   * @throws {ConfigError} for a value that is not finite
   */
  pixels(data: Float32Array): Pixels {
    const { height, width } = this.facts;
    return Images.fromFloats(data, 1, height, width).pixels as Pixels;
  }

  /** Frees the model; not while its batch is at a turn. */
  async close(): Promise<void> {
    await this.#model.close();
  }
}

/** Turns of the batch by which a model is timed, and milliseconds that each should take. */
const TIMED_TURNS = 3;
const TIMED_TURN = 100;

/** Takes one step of one image: the kernels are compiled before somebody waits, and weights that are no use show. */
async function checkOutput(batch: RunningBatch, path: string): Promise<void> {
  batch.add(trialImage(1));
  const { finished: [image] } = await batch.turn(0);
  if (image?.data.every(Number.isFinite)) return;
  throw new CheckpointError(`${path}: what it draws has values that are not finite`);
}

/** Seconds of a step of one row. Turns grow, and with them the wait for the device at their end counts less. */
async function stepSeconds(model: DDPM, batch: RunningBatch): Promise<number> {
  const image = trialImage(mostSteps(model.schedule));
  batch.add(image);
  let fastest = Infinity;
  for (let turn = 0; turn < TIMED_TURNS && batch.size > 0; turn++) {
    const { seconds, steps } = await batch.turn(TIMED_TURN);
    fastest = Math.min(fastest, seconds / steps);
  }
  batch.remove(image.id);
  return fastest;
}

/** An image in one row. */
function trialImage(steps: number): ImageJob {
  return { id: 0, label: 0, seed: 0, guidance: 1, sampler: "ddim", steps, eta: undefined };
}

/** What is told of a model that was loaded from `directory` or, where that is damaged, a checkpoint in it. */
function factsOf(
  model: DDPM,
  directory: string,
  step: number | undefined,
  stepSeconds: number,
): ServedModel {
  const { config, schedule, classes, path, adapter, precision } = model;
  const [height, width] = imageSize(config);
  const name = basename(directory);
  return {
    config,
    schedule,
    classes,
    id: step === undefined ? name : `${name}-step-${step}`,
    path,
    step,
    parameters: unetParameters(config).count,
    height,
    width,
    adapter,
    precision,
    stepSeconds,
    loadedAt: Date.now(),
  };
}
