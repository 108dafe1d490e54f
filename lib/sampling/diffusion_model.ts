/**
 * Trained models on a device: sampling, trajectories.
 *
 * @module
 */
import { guidanceOf } from "../diffusion/guidance.ts";
import type { PlannedStep, SamplerChoice } from "../diffusion/sampler.ts";
import type { TrainedProcess } from "../diffusion/trained_process.ts";
import type { ModelFiles } from "../files/pipeline_files.ts";
import { Images } from "../image/images.ts";
import { imageChannels, imageSize, type UNetConfig } from "../model/config.ts";
import type { Precision } from "../model/precision.ts";
import { DenoisingPass } from "./denoising_pass.ts";
import type { DeviceModel, ModelOptions } from "./device_model.ts";
import { DrawQueue, modelClosed } from "./draw_queue.ts";
import { givenBy, planImage } from "./edits/edit_plan.ts";
import { checkImageShape } from "./edits/image_edit.ts";
import type { FrameRequest } from "./image_job.ts";
import type { Drawn, DrawOptions } from "./generator.ts";
import { drawnBy, imageMetadata } from "./metadata.ts";
import { openModelFiles } from "./model_bytes.ts";
import { keptSteps } from "./moments.ts";
import { type DrawPlan, type GenerateOptions, planDraw } from "./request.ts";
import { batchSizes, RunningBatch } from "./running_batch.ts";
import type { SlotImage } from "./slot_image.ts";

export type { GenerateOptions } from "./request.ts";

/** Intermediate images of sampling, from noise to image. */
export interface Trajectory {
  /** The finished images, as from {@linkcode DiffusionModel.generate}. */
  readonly images: Images;
  /** x_t after each kept step. */
  readonly noisy: readonly Images[];
  /** The model's estimate of x_0 at each kept step. */
  readonly predicted: readonly Images[];
  /** Timestep passed to the network at each kept step. */
  readonly timesteps: readonly number[];
}

/** Images on their way out of the noise, after a step of {@linkcode DiffusionModel.generateSteps}. */
export interface GeneratedStep {
  /** Steps done, 1 or more. */
  readonly done: number;
  /** Steps in all. */
  readonly total: number;
  /** Timestep passed to the network. */
  readonly timestep: number;
  /** The images after this step; those of the last step are finished, as from {@linkcode DiffusionModel.generate}. */
  readonly images: Images;
}

/** A trained denoising diffusion model on a device, from wherever its files are. */
export class DiffusionModel {
  /** Configuration of the network. */
  readonly config: UNetConfig;
  /** Forward process of the training: a noise schedule, rectified flow or EDM. */
  readonly schedule: TrainedProcess;
  /** Sampler and spacing of the model's scheduler configuration; undefined where it leaves the choice. */
  readonly sampling: Required<SamplerChoice> | undefined;
  /** Class names in the order of their labels; empty for an unconditional model. */
  readonly classes: readonly string[];
  /** Directory or address of the model. */
  readonly path: string;
  /** Last part of it, for the metadata of pictures. */
  readonly name: string;
  /** Precision of the network. */
  readonly precision: Precision;
  /** SHA-256 of the weights' names, shapes and values, in hexadecimal. */
  readonly digest: string;
  /** Name of the model that guides this one; undefined without autoguidance. */
  readonly guide: string | undefined;
  /** SHA-256 of its weights. */
  readonly guideDigest: string | undefined;
  readonly #model: DeviceModel;
  readonly #draws: DrawQueue;
  readonly #batches: (RunningBatch | DenoisingPass)[] = [];
  #closed = false;

  /** Use {@linkcode DDPM.load}, or in a browser {@linkcode DiffusionModel.fromFiles}. */
  protected constructor(model: DeviceModel) {
    const { facts, network, guide, guideDigest } = model;
    this.config = facts.config;
    this.schedule = facts.schedule;
    this.sampling = facts.sampling;
    this.classes = facts.classes;
    this.path = facts.path;
    this.name = facts.name;
    this.precision = network.precision;
    this.digest = facts.digest;
    this.guide = guide;
    this.guideDigest = guideDigest;
    this.#model = model;
    this.#draws = new DrawQueue(model);
  }

  /**
   * Opens a model from the contents of its files, without a file system: in a browser.
   *
   * @throws {CheckpointError} naming the file, and the tensor if one is affected
   * @throws {ConfigError} for an unsupported network or schedule, or a precision that the adapter does not support
   * @throws {DeviceError} if there is no adapter, or the model does not fit into its memory
   */
  static async fromFiles(files: ModelFiles, options: ModelOptions = {}): Promise<DiffusionModel> {
    return new DiffusionModel(await openModelFiles(files, options));
  }

  /** Name of the adapter that the model runs on. */
  get adapter(): string {
    return this.#model.gpu.adapter.name;
  }

  /**
   * Checks a request, and fills in its defaults, without drawing anything.
   *
   * @throws {ConfigError} for an unknown class or an option out of range
   */
  plan(options: GenerateOptions = {}): DrawPlan {
    return planDraw(options, this);
  }

  /**
   * Samples images. Image `i` depends on the options and on `seed + i` alone, not on the other images of the batch.
   *
   * @returns `count` images for each requested class, in order, with metadata
   * @throws {ConfigError} for an unknown class or an option out of range
   * @throws {DeviceError} if the batch does not fit into device memory, or the model was closed
   */
  async generate(options: GenerateOptions = {}): Promise<Images> {
    const settings = this.plan(options);
    const plan = planImage(this.schedule, settings);
    const slots = Math.min(settings.batch, settings.labels.length);
    const { images } = await this.#draw(slots, this.#requests(settings, plan), plan, {
      onStep: options.onStep,
    });
    return this.#finished(images, settings);
  }

  /**
   * Samples images as {@linkcode DiffusionModel.generate} does, and yields them after each step. Other requests do not wait
   * for the loop to end; after `close`, its next step throws.
   *
   * @param options as for {@linkcode DiffusionModel.generate}; all images are drawn in one batch
   * @param show images of the steps before the last: the model's estimate of x_0 (`predicted`), or x_t (`noisy`)
   * @throws {ConfigError} for an unknown class or an option out of range
   * @throws {DeviceError} if the images do not fit into device memory, or the model was closed
   */
  async *generateSteps(
    options: GenerateOptions = {},
    show: FrameRequest["kind"] = "predicted",
  ): AsyncGenerator<GeneratedStep, void, undefined> {
    const settings = this.plan(options);
    const plan = planImage(this.schedule, settings);
    this.#open();
    const steps = this.#draws.steps(this.#requests(settings, plan), plan, show === "noisy" ? "x" : "preview");
    for await (const { images, done, total } of steps) {
      await options.onStep?.(done, total);
      yield { done, total, timestep: plan[done - 1]!.timestep, images: this.#finished(images, settings) };
    }
  }

  /**
   * Draws images by a plan and from starts of one's own; `generate` and the edits are made of this.
   *
   * @param images seed, class and guidance of each, and where it starts
   * @param plan from `planSampling`
   * @param options `batch`: most images at a time, default 64; `onStep`: called after each step, with the steps done and
   *   their total over all batches
   * @returns shape [images, H, W, C], in [-1, 1] after a plan that ends at the image
   * @throws {ConfigError} for a start, known image or mask of another size, or guidance without the classes that it needs
   * @throws {DeviceError} if the batch does not fit into device memory, or the model was closed
   */
  async draw(
    images: readonly SlotImage[],
    plan: readonly PlannedStep[],
    { batch = 64, onStep }: Pick<GenerateOptions, "batch" | "onStep"> = {},
  ): Promise<Float32Array<ArrayBuffer>> {
    const [height, width] = imageSize(this.config);
    const shape = [height, width, imageChannels(this.config)];
    for (const { start, known } of images) {
      if (start) checkImageShape("start", start, shape);
      if (!known) continue;
      checkImageShape("known.image", known.image, shape);
      checkImageShape("known.mask", known.mask, [height, width]);
    }
    return (await this.#draw(Math.min(batch, images.length), images, plan, { onStep })).images;
  }

  /**
   * Evaluates the network once for each noisy image, guidance included, for samplers of one's own. A network with
   * self-conditioning is given no earlier estimate, and of one with a learned variance the first half of the output is returned.
   *
   * @param images class and guidance of each; `start` is `x_t`, without it the noise of the seed
   * @param step where in a plan of `planSampling` the images are
   * @param options `batch`: most images at a time, default 64
   * @returns the network's output, shape [images, H, W, C]: the noise in `x_t`, or what else the model was trained to predict
   * @throws {ConfigError} for a `start` of another size, or guidance without the classes that it needs
   * @throws {DeviceError} if the batch does not fit into device memory, or the model was closed
   */
  async predict(
    images: readonly SlotImage[],
    step: PlannedStep,
    options: Pick<GenerateOptions, "batch"> = {},
  ): Promise<Float32Array<ArrayBuffer>> {
    // A step whose result is the output alone
    const weights = { nextFromX0: 0, nextFromX: 0, nextFromH1: 0, nextFromH2: 0, sigma: 0, nextFromOut: 1 };
    return await this.draw(images, [{ ...step, ...weights }], options);
  }

  /**
   * Samples images in one batch, and keeps the intermediate images.
   *
   * @param options as for {@linkcode DiffusionModel.generate}; `batch` is ignored
   * @param frames number of steps to keep, 2 or more, evenly spaced up to the last one (at most all of them); or the
   *   steps to keep, counted from 0, in ascending order
   * @throws {ConfigError} for an unknown class or an option out of range
   * @throws {DeviceError} if the images do not fit into device memory, or the model was closed
   */
  async trajectory(options: GenerateOptions, frames: number | readonly number[]): Promise<Trajectory> {
    const settings = this.plan(options);
    const plan = planImage(this.schedule, settings);
    const previewAt = keptSteps(frames, plan.length);
    const count = settings.labels.length;
    const drawOptions = { onStep: options.onStep, previewAt };
    const { images, noisy, previews } = await this.#draw(
      count,
      this.#requests(settings, plan),
      plan,
      drawOptions,
    );
    const [height, width] = imageSize(this.config);
    const toImages = (data: Float32Array) => Images.fromFloats(data, count, height, width);
    return {
      images: this.#finished(images, settings),
      noisy: noisy.map(toImages),
      predicted: previews.map(toImages),
      timesteps: previewAt.map((step) => plan[step]!.timestep), // keptSteps are those of the plan
    };
  }

  /**
   * Starts a batch that images can join and leave between steps (continuous batching), for servers. Freed with the model.
   *
   * @param options `rows`: rows of the network's largest batch, 1 or more; an image with guidance takes two, a
   *   mixture more; `sparing`: take slower programs where only those fit into device memory, default true
   * @throws {ConfigError} for `rows` below 1
   * @throws {DeviceError} if the batch does not fit into device memory, or the model was closed
   */
  async startBatch(
    { rows, sparing }: { readonly rows: number; readonly sparing?: boolean },
  ): Promise<RunningBatch> {
    const { gpu, network } = this.#open();
    const target = await this.#model.kernelsFor(batchSizes(rows));
    const batch = await RunningBatch.build(gpu, {
      ...network,
      schedule: this.schedule,
      rows,
      target,
      sparing,
    });
    this.#batches.push(batch);
    return batch;
  }

  /**
   * Starts passes over given images at chosen noise levels, for evaluation. Freed with the model.
   *
   * @param options `rows`: images of a pass, 1 or more; `passes`: how many are expected, for autotuning
   * @throws {DeviceError} if the batch does not fit into device memory, or the model was closed
   */
  async startDenoising(
    { rows, passes = 1 }: { readonly rows: number; readonly passes?: number },
  ): Promise<DenoisingPass> {
    const { gpu, network } = this.#open();
    const target = await this.#model.kernelsFor([rows], passes);
    const pass = await DenoisingPass.build(gpu, { ...network, process: this.schedule, rows, target });
    this.#batches.push(pass);
    return pass;
  }

  /**
   * Waits for pending requests, and ends loops over steps after the step in progress; then frees the model, and the device
   * if it was opened with the model.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#draws.close();
    for (const batch of this.#batches) batch.destroy();
    this.#model.destroy();
  }

  /** @throws {DeviceError} if the model was closed */
  #open(): DeviceModel {
    if (this.#closed) throw modelClosed();
    return this.#model;
  }

  /** Converts samples to images with metadata. */
  #finished(data: Float32Array, plan: DrawPlan): Images {
    const [height, width] = imageSize(this.config);
    const metadata = plan.labels.map((_, i) => imageMetadata(plan, drawnBy(this), i));
    return Images.fromFloats(data, plan.labels.length, height, width, metadata);
  }

  /** The images of a plan. */
  #requests(settings: DrawPlan, plan: readonly PlannedStep[]): SlotImage[] {
    const { labels, seed } = settings;
    const guidance = guidanceOf(settings);
    return labels.map((label, i): SlotImage => {
      const given = givenBy({ ...settings, seed: seed + i }, plan, imageChannels(this.config));
      return { label, seed: seed + i, ...guidance, ...given };
    });
  }

  async #draw(
    slots: number,
    images: readonly SlotImage[],
    plan: readonly PlannedStep[],
    options: DrawOptions,
  ): Promise<Drawn> {
    this.#open();
    return await this.#draws.draw(slots, images, plan, options);
  }
}
