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
import { defaultPrecision, type Precision } from "../../lib/model/precision.ts";
import { checkGuide } from "../../lib/sampling/guide.ts";
import { readModel } from "../../lib/sampling/read_model.ts";
import { type TuneMode, TUNING_DIRECTORY, type TuningProgress } from "../../lib/tuning/tuning.ts";
import type { ImageJob, Pixels, ServedModel } from "./engine.ts";
import { loadWithStep } from "./training_step.ts";

/** Options of {@linkcode Serving.open}. */
export interface ServingOptions {
  readonly path: string;
  /** Name in its id. Default: the last part of the path. */
  readonly name?: string;
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
  /** False: refused where slower programs in less memory would fit. Default true. */
  readonly sparing?: boolean;
}

/** A model and its batch. */
export class Serving {
  readonly facts: ServedModel;
  readonly batch: RunningBatch;
  /** Device memory that it took when it was loaded. */
  readonly bytes: number;
  readonly #model: DDPM;

  private constructor(model: DDPM, batch: RunningBatch, facts: ServedModel, bytes: number) {
    this.#model = model;
    this.batch = batch;
    this.facts = facts;
    this.bytes = bytes;
  }

  /**
   * Reads what a model is like without putting it on the device: all but `stepSeconds`, which is 0.
   *
   * @throws {CheckpointError | ConfigError} for a model that cannot be served
   */
  static async describe(
    gpu: Gpu,
    { path, name, guide, defaults, ...options }: ServingOptions,
  ): Promise<ServedModel> {
    const { precision = defaultPrecision(gpu.adapter) } = options;
    const load = async () => ({
      ...await readModel(path, precision, options),
      close: () => Promise.resolve(),
    });
    const { model: { flat: _, close: __, ...model }, step } = await loadWithStep(path, load);
    const second = guide === undefined ? undefined : await readModel(guide, precision, options);
    if (second) checkGuide(second, model);
    const about = {
      path,
      name,
      step,
      adapter: gpu.adapter.name,
      guide: second?.name,
      guideDigest: second?.digest,
    };
    const facts = factsOf({ ...model, precision }, about, 0);
    planDraw({}, facts, defaults);
    return facts;
  }

  /**
   * Loads a directory and takes a step of a test image.
   *
   * @throws {CheckpointError | ConfigError | DeviceError} and leaves nothing on the device
   */
  static async open(gpu: Gpu, { path, name, rows, sparing, ...options }: ServingOptions): Promise<Serving> {
    const before = gpu.memory.used;
    const load = () => DDPM.load(path, { gpu, tuningDirectory: TUNING_DIRECTORY, ...options });
    const { model, step } = await loadWithStep(path, load);
    try {
      // Fail now if every request with the server's defaults would.
      planDraw({}, model, options.defaults);
      const batch = await model.startBatch({ rows, sparing });
      await checkOutput(batch, path);
      if (options.guide !== undefined) await checkOutput(batch, options.guide, 2);
      const { adapter, guide, guideDigest } = model;
      const about = { path, name, step, adapter, guide, guideDigest };
      const facts = factsOf(model, about, await stepSeconds(model, batch));
      return new Serving(model, batch, facts, Math.max(0, gpu.memory.used - before));
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

/** Where a model was read from, and what it runs on. */
interface About
  extends Pick<ServingOptions, "name">, Pick<ServedModel, "step" | "adapter" | "guide" | "guideDigest"> {
  /** The directory that was asked for; where it is damaged, the model comes from a checkpoint in it. */
  readonly path: string;
}

/** Facts of a model. */
function factsOf(
  model: Pick<DDPM, "config" | "schedule" | "sampling" | "classes" | "path" | "precision" | "digest">,
  { path: directory, name = basename(directory), step, adapter, guide, guideDigest }: About,
  stepSeconds: number,
): ServedModel {
  const { config, schedule, sampling, classes, path, precision, digest } = model;
  const [height, width] = imageSize(config);
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
