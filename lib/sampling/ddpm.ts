/**
 * Trained models on a device: loading, sampling, trajectories.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import { hasNullClass } from "./class_choice.ts";
import { type DrawPlan, type GenerateOptions, planDraw } from "./request.ts";
import { givenBy, planImage } from "./edits/edit_plan.ts";
import { checkImageShape } from "./edits/image_edit.ts";
import { type DrawnBy, imageMetadata } from "./metadata.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import {
  type Drawn,
  type DrawOptions,
  Generator,
  type GeneratorOptions,
  generatorRows,
} from "./generator.ts";
import { DenoisingPass } from "./denoising_pass.ts";
import { shownSteps } from "./moments.ts";
import { batchSizes, RunningBatch } from "./running_batch.ts";
import { readGuide } from "./guide.ts";
import type { GuideNetwork } from "./guidable.ts";
import type { SlotImage } from "./slot_image.ts";
import { guidanceOf, networkRows } from "../diffusion/guidance.ts";
import type { PlannedStep, SamplerChoice } from "../diffusion/sampler.ts";
import type { TrainedProcess } from "../diffusion/trained_process.ts";
import { checkWhole } from "../checks.ts";
import { ConfigError, DeviceError } from "../errors.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { createBuffer, destroyBuffer } from "../gpu/memory.ts";
import { Images } from "../image/images.ts";
import { imageChannels, imageSize, type UNetConfig } from "../model/config.ts";
import { recordForward } from "../model/network.ts";
import { checkPrecision, defaultPrecision, type Precision, prepareMatrices } from "../model/precision.ts";
import { readModel } from "./trained_model.ts";
import { Tuning, type TuningOptions, type TuningProgress } from "../tuning/tuning.ts";

export type { GenerateOptions } from "./request.ts";

/** Options of {@linkcode DDPM.load}; `tune` defaults to `off` if there is no `tuningDirectory`. */
export interface LoadModelOptions extends TuningOptions {
  /** Device to use. If not given, one is opened, and closed by {@linkcode DDPM.close}. */
  readonly gpu?: Gpu;
  /**
   * A second, weaker model for autoguidance (Karras et al. 2024), such as an early checkpoint of a smaller network: guidance
   * then leads away from its outputs. It must have the same forward process, objective, size of images and classes.
   */
  readonly guide?: string;
  /** Default: `mixed` if the adapter has matrix units, else `float32`. Images differ slightly between the two. */
  readonly precision?: Precision;
  /** Variant of the weights, such as `fp16` or `non_ema`; by default those without a variant, else the most precise. */
  readonly variant?: string;
  /** Called when a damaged file was replaced by an older one, or a missing one by defaults; default `console.warn`. */
  readonly onWarning?: (message: string) => void;
  /** Called during autotuning, which runs before images are drawn at a new batch size. */
  readonly onTuning?: (progress: TuningProgress) => void;
}

/** Intermediate images of sampling, from noise to image. */
export interface Trajectory {
  /** The finished images, as from {@linkcode DDPM.generate}. */
  readonly images: Images;
  /** x_t after each kept step. */
  readonly noisy: readonly Images[];
  /** The model's estimate of x_0 at each kept step. */
  readonly predicted: readonly Images[];
  /** Timestep passed to the network at each kept step. */
  readonly timesteps: readonly number[];
}

/** A trained denoising diffusion model on a device. */
export class DDPM {
  /** Configuration of the network. */
  readonly config: UNetConfig;
  /** Forward process of the training: a noise schedule, rectified flow or EDM. */
  readonly schedule: TrainedProcess;
  /** Sampler and spacing of the model's scheduler configuration; undefined where it leaves the choice. */
  readonly sampling: Required<SamplerChoice> | undefined;
  /** Class names in the order of their labels; empty for an unconditional model. */
  readonly classes: readonly string[];
  /** Directory of the model. */
  readonly path: string;
  /** Precision of the network. */
  readonly precision: Precision;
  /** Name of the model that guides this one; undefined without autoguidance. */
  readonly guide: string | undefined;
  readonly #guide: GuideNetwork | undefined;
  readonly #gpu: Gpu;
  readonly #ownsGpu: boolean;
  readonly #weights: GPUBuffer;
  readonly #tuning: Tuning;
  readonly #onTuning: LoadModelOptions["onTuning"];
  #generator: Generator | undefined;
  readonly #batches: (RunningBatch | DenoisingPass)[] = [];
  /** Settles when all requests so far are done. */
  #idle: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(parts: {
    gpu: Gpu;
    ownsGpu: boolean;
    config: UNetConfig;
    schedule: TrainedProcess;
    sampling: Required<SamplerChoice> | undefined;
    classes: readonly string[];
    path: string;
    weights: GPUBuffer;
    precision: Precision;
    guide: (GuideNetwork & { readonly path: string }) | undefined;
    tuning: Tuning;
    onTuning: LoadModelOptions["onTuning"];
  }) {
    this.config = parts.config;
    this.schedule = parts.schedule;
    this.sampling = parts.sampling;
    this.classes = parts.classes;
    this.path = parts.path;
    this.#gpu = parts.gpu;
    this.#ownsGpu = parts.ownsGpu;
    this.#weights = parts.weights;
    this.precision = parts.precision;
    this.guide = parts.guide && basename(resolve(parts.guide.path));
    this.#guide = parts.guide;
    this.#tuning = parts.tuning;
    this.#onTuning = parts.onTuning;
  }

  /**
   * Loads a run directory of {@linkcode train}, a diffusers pipeline directory, a directory with a single network, or a weight
   * file (safetensors, or a PyTorch checkpoint) with its `config.json` beside it.
   *
   * @throws {CheckpointError} naming the file, and the tensor if one is affected
   * @throws {ConfigError} for an unsupported network or schedule, a variant that is not there, or a precision that the adapter does not support
   * @throws {DeviceError} if there is no adapter, or the model does not fit into its memory
   */
  static async load(directory: string, options: LoadModelOptions = {}): Promise<DDPM> {
    const { tuningDirectory, tune = tuningDirectory === undefined ? "off" : "auto", onTuning } = options;
    const { onWarning = console.warn } = options;
    const gpu = options.gpu ?? await openGpu();
    try {
      await prepareMatrices(gpu, options.precision, onWarning);
      const { precision = defaultPrecision(gpu.adapter) } = options;
      checkPrecision(gpu.adapter, precision);
      const { flat, ...model } = await readModel(directory, precision, options);
      const second = options.guide === undefined
        ? undefined
        : await readGuide(options.guide, model, precision, onWarning);
      const tuning = await Tuning.open(gpu, { tune, tuningDirectory }, onWarning);
      const weights = upload(gpu, flat, "weights");
      const guide = second && { ...second, weights: upload(gpu, second.flat, "weights of the guide") };
      return new DDPM({ ...model, guide, gpu, ownsGpu: !options.gpu, weights, precision, tuning, onTuning });
    } catch (error) {
      if (!options.gpu) gpu.close();
      throw error;
    }
  }

  /** Name of the adapter that the model runs on. */
  get adapter(): string {
    return this.#gpu.adapter.name;
  }

  /**
   * Samples images. Image `i` depends on the options and on `seed + i` alone, not on the other images of the batch.
   *
   * @returns `count` images for each requested class, in order, with metadata
   * @throws {ConfigError} for an unknown class or an option out of range
   * @throws {DeviceError} if the batch does not fit into device memory, or the model was closed
   */
  async generate(options: GenerateOptions = {}): Promise<Images> {
    const settings = planDraw(options, this);
    const plan = planImage(this.schedule, settings);
    const slots = Math.min(settings.batch, settings.labels.length);
    const { images } = await this.#draw(slots, this.#requests(settings, plan), plan, {
      onStep: options.onStep,
    });
    return this.#finished(images, settings);
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
   * Samples images in one batch, and keeps the intermediate images.
   *
   * @param options as for {@linkcode DDPM.generate}; `batch` is ignored
   * @param frames number of steps to keep, 2 or more, evenly spaced up to the last one (at most all of them); or the
   *   steps to keep, counted from 0, in ascending order
   * @throws {ConfigError} for an unknown class or an option out of range
   * @throws {DeviceError} if the images do not fit into device memory, or the model was closed
   */
  async trajectory(options: GenerateOptions, frames: number | readonly number[]): Promise<Trajectory> {
    const settings = planDraw(options, this);
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
   *   mixture more
   * @throws {ConfigError} for `rows` below 1
   * @throws {DeviceError} if the batch does not fit into device memory, or the model was closed
   */
  async startBatch({ rows }: { readonly rows: number }): Promise<RunningBatch> {
    if (this.#closed) throw new DeviceError("this model was closed; load it again to draw more");
    const target = await this.#kernelsFor(batchSizes(rows));
    const options = { ...this.#network, schedule: this.schedule, rows, target };
    const batch = await RunningBatch.build(this.#gpu, options);
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
    if (this.#closed) throw new DeviceError("this model was closed; load it again to draw more");
    const target = await this.#kernelsFor([rows], passes);
    const pass = await DenoisingPass.build(this.#gpu, {
      ...this.#network,
      process: this.schedule,
      rows,
      target,
    });
    this.#batches.push(pass);
    return pass;
  }

  /** Waits for pending requests, then frees the model, and the device if {@linkcode DDPM.load} opened it. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#idle;
    this.#generator?.destroy();
    for (const batch of this.#batches) batch.destroy();
    destroyBuffer(this.#gpu, this.#weights);
    if (this.#guide) destroyBuffer(this.#gpu, this.#guide.weights);
    if (this.#ownsGpu) this.#gpu.close();
  }

  /** Options that all batches share. */
  get #network(): Pick<GeneratorOptions, "config" | "weights" | "precision" | "nullClass" | "guide"> {
    const { config, precision } = this;
    return { config, weights: this.#weights, precision, nullClass: hasNullClass(this), guide: this.#guide };
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

  /** Draws after all earlier requests, which use the same buffers. */
  #draw(
    slots: number,
    requests: readonly SlotImage[],
    plan: readonly PlannedStep[],
    options: DrawOptions,
  ): Promise<Drawn> {
    const imageRows = Math.max(...requests.map((image) => networkRows(image, this.guide !== undefined)));
    if (this.#closed) throw new DeviceError("this model was closed; load it again to draw more");
    const drawn = this.#idle.then(async () => {
      const passes = plan.length * Math.ceil(requests.length / slots);
      const generator = await this.#generatorFor(slots, imageRows, passes);
      return await generator.draw(requests, plan, options);
    });
    this.#idle = drawn.catch(() => {});
    return drawn;
  }

  /**
   * Kernel variants for batches of some sizes, autotuned if enabled.
   * @param passes network passes expected of each
   */
  async #kernelsFor(rows: readonly number[], passes = 1): Promise<KernelTarget> {
    const configs = [this.config, ...this.#guide ? [this.#guide.config] : []];
    const graphs = () =>
      configs.flatMap((config) => rows.map((rows) => recordForward(config, rows, this.precision).g));
    const runs = configs.flatMap(() => rows.map(() => passes));
    return await this.#tuning.tuned(graphs, this.#onTuning, { runs });
  }

  /**
   * The cached generator, or a new one if slots or rows differ; the old one is freed first.
   * @param passes network passes expected of a new one
   */
  async #generatorFor(slots: number, imageRows: number, passes: number): Promise<Generator> {
    const cached = this.#generator;
    if (cached?.slots === slots && cached.imageRows === imageRows) return cached;
    this.#generator = undefined;
    cached?.destroy();
    const target = await this.#kernelsFor([generatorRows({ slots, imageRows })], passes);
    const options = { ...this.#network, slots, imageRows, target };
    return this.#generator = await Generator.build(this.#gpu, options);
  }
}

/** What the metadata of images says of the model that drew them. */
export function drawnBy({ path, classes, precision, guide }: DDPM): DrawnBy {
  return { model: basename(resolve(path)), classes, precision, guide };
}

function upload(gpu: Gpu, flat: Float32Array<ArrayBuffer>, label: string): GPUBuffer {
  const weights = createBuffer(gpu, flat.byteLength, label);
  gpu.device.queue.writeBuffer(weights, 0, flat);
  return weights;
}

/** Steps of a trajectory to keep, ascending from 0. */
function keptSteps(frames: number | readonly number[], steps: number): readonly number[] {
  const last = steps - 1;
  if (typeof frames === "number") {
    checkWhole("frames", frames, 2, Number.MAX_SAFE_INTEGER);
    return shownSteps(steps, { count: frames, spacing: "even" });
  }
  const ascending = frames.every((step, i) =>
    Number.isSafeInteger(step) && step <= last && step > (frames[i - 1] ?? -1)
  );
  if (!ascending) throw new ConfigError("frames", frames, `steps from 0 to ${last} in ascending order`);
  return frames;
}
