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

/** Options of {@linkcode Serving.open}. */
export interface ServingOptions {
  readonly path: string;
  /** Variant of its weights; undefined: as for `DDPM.load`. */
  readonly variant?: string;
  /** A second model for autoguidance, read again with every load; undefined: none. */
  readonly guide?: string;
  /** Network rows of the batch. */
  readonly rows: number;
  /** Called when an older checkpoint is loaded in place of a damaged file. */
  readonly onWarning: (message: string) => void;
  /** Defaults of requests. */
  readonly defaults?: DrawDefaults;
  /** Precision of the network; undefined: the adapter's default. */
  readonly precision?: Precision;
  /** Autotuning mode. Default `auto`. */
  readonly tune?: TuneMode;
  /** Called with the progress of autotuning. */
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
   * Loads a directory and takes a step of a test image.
   *
   * @throws {CheckpointError | ConfigError | DeviceError} and leaves nothing on the device
   */
  static async open(gpu: Gpu, { path, rows, ...options }: ServingOptions): Promise<Serving> {
    const load = () => DDPM.load(path, { gpu, tuningDirectory: TUNING_DIRECTORY, ...options });
    const { model, step } = await loadWithStep(path, load);
    try {
      // Fail now if every request with the server's defaults would.
      planDraw({}, model, options.defaults);
      const batch = await model.startBatch({ rows });
      await checkOutput(batch, path);
      if (options.guide !== undefined) await checkOutput(batch, options.guide, 2);
      return new Serving(model, batch, factsOf(model, path, step, await stepSeconds(model, batch)));
    } catch (error) {
      await model.close();
      throw error;
    }
  }

  /**
   * Adds an image to the batch.
   * @throws {ConfigError} for invalid parameters
   */
  add(image: ImageJob): void {
    this.batch.add(image);
  }

  /**
   * Converts an image to bytes, [height, width, 3].
   * @throws {ConfigError} for a value that is not finite
   */
  pixels(data: Float32Array): Pixels {
    const { height, width } = this.facts;
    return Images.fromFloats(data, 1, height, width).pixels as Pixels;
  }

  /** Frees the model. Must not be called during a turn of its batch. */
  async close(): Promise<void> {
    await this.#model.close();
  }
}

/** Number of timed turns, and their target duration in milliseconds. */
const TIMED_TURNS = 3;
const TIMED_TURN = 100;

/**
 * Takes one step of one image, so that kernels are compiled before the first request and broken weights are found.
 * @param guidance other than 1 to run the guiding model, too
 */
async function checkOutput(batch: RunningBatch, path: string, guidance = 1): Promise<void> {
  batch.add({ ...trialImage(1), guidance });
  const { finished: [image] } = await batch.turn(0);
  if (image?.data.every(Number.isFinite)) return;
  throw new CheckpointError(`${path}: the model's output has non-finite values`);
}

/** Measures seconds per step of one row. Turns grow, so that the wait for the device at their end carries less weight. */
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
  return { id: 0, label: 0, seed: 0, guidance: 1, sampler: "ddim", steps };
}

/** Facts of a model loaded from `directory` or, if that is damaged, from a checkpoint in it. */
function factsOf(
  model: DDPM,
  directory: string,
  step: number | undefined,
  stepSeconds: number,
): ServedModel {
  const { config, schedule, sampling, classes, path, adapter, precision, digest, guide, guideDigest } = model;
  const [height, width] = imageSize(config);
  const name = basename(directory);
  return {
    config,
    schedule,
    sampling,
    classes,
    guide,
    digest,
    guideDigest,
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
