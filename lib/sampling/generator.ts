/**
 * Batch sampling on the device: each slot has its own class, seed and guidance; nothing is read back between the steps.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../gpu/device.ts";
import { imageChannels, imageSize, type UNetConfig } from "../model/config.ts";
import type { Precision } from "../model/precision.ts";
import type { PlannedStep } from "../diffusion/sampler.ts";
import type { GuideNetwork } from "./guidable.ts";
import { SlotBatch } from "./slots/slot_batch.ts";
import type { SlotPicture } from "./slots/slot_buffers.ts";
import type { SlotImage } from "./slot_image.ts";
import { advance, type Underway } from "./underway.ts";

/** Options of {@linkcode Generator.build}. */
export interface GeneratorOptions {
  readonly config: UNetConfig;
  /** Weights in the layout of `ParameterTable`; they may change between calls of {@linkcode Generator.draw}. */
  readonly weights: GPUBuffer;
  /** Images per batch. */
  readonly slots: number;
  /** Most rows of the network's batch that an image takes (`networkRows`); default 1, for images without guidance. */
  readonly imageRows?: number;
  /** True if the last row of the class table is the null class, which guidance needs. Default true. */
  readonly nullClass?: boolean;
  /** Kernel variants to use; default: those that suit the device. */
  readonly target?: KernelTarget;
  /** Default float32. The weights must be in the layout for it. */
  readonly precision?: Precision;
  /** A second network for autoguidance. */
  readonly guide?: GuideNetwork;
}

/** Rows of the network's batch in a generator's steps. */
export function generatorRows(
  { slots, imageRows = 1 }: Pick<GeneratorOptions, "slots" | "imageRows">,
): number {
  return slots * imageRows;
}

/** Options of {@linkcode Generator.draw}. */
export interface DrawOptions {
  /**
   * Called after each step. With a listener the CPU waits for the device every few steps.
   * @param done steps done, over all batches
   */
  onStep?: (done: number, total: number) => void | Promise<void>;
  /** Steps (from 0) after which to keep x_t and the estimate of x_0 of the first batch. */
  previewAt?: readonly number[];
}

/** Samples of {@linkcode Generator.draw}. */
export interface Drawn {
  /** Shape [count, H, W, C], in [-1, 1]. */
  readonly images: Float32Array<ArrayBuffer>;
  /** x_t after each step of `previewAt`, [images of the first batch, H, W, C]. */
  readonly noisy: readonly Float32Array<ArrayBuffer>[];
  /** Estimate of x_0 at each step of `previewAt`, [images of the first batch, H, W, C]. */
  readonly previews: readonly Float32Array<ArrayBuffer>[];
}

/** Images after a step of {@linkcode Generator.steps}. */
export interface StepImages {
  /** Steps done. */
  readonly done: number;
  readonly total: number;
  /** Shape [count, H, W, C], in [-1, 1]; the finished images after the last step. */
  readonly images: Float32Array<ArrayBuffer>;
}

/** Steps between waits for the device with a step listener, so that reported progress is real. */
const STEPS_PER_WAIT = 4;

/** Draws images in batches of a fixed number of slots. */
export class Generator {
  readonly slots: number;
  /** Rows of the network's batch for an image. */
  readonly imageRows: number;
  readonly #config: UNetConfig;
  readonly #batch: SlotBatch;

  private constructor({ slots, imageRows = 1, config }: GeneratorOptions, batch: SlotBatch) {
    this.slots = slots;
    this.imageRows = imageRows;
    this.#config = config;
    this.#batch = batch;
  }

  /**
   * Records the network and the sampler's step for a number of slots.
   *
   * @throws {ConfigError} if the network's output has other channels than its input (e.g. a learned variance)
   * @throws {DeviceError} if the batch does not fit into device memory
   */
  static async build(gpu: Gpu, options: GeneratorOptions): Promise<Generator> {
    const rows = [generatorRows(options)];
    return new Generator(options, await SlotBatch.build(gpu, { ...options, rows }));
  }

  /** Floating-point operations of the matrix products in one step of all slots. */
  get flopsPerStep(): number {
    return this.#batch.flopsPerStep;
  }

  /**
   * Samples images in as many batches as needed.
   *
   * @param steps the sampler's plan, from `planSampling`
   * @throws {ConfigError} for guidance with a network that lacks the classes it needs
   * @throws {RangeError} if the images of a batch take more rows than it has
   */
  async draw(
    requests: readonly SlotImage[],
    steps: readonly PlannedStep[],
    options: DrawOptions = {},
  ): Promise<Drawn> {
    const { onStep, previewAt = [] } = options;
    this.#batch.refresh();
    const [height, width] = imageSize(this.#config);
    const perImage = height * width * imageChannels(this.#config);
    const images = new Float32Array(requests.length * perImage);
    const noisy: Float32Array<ArrayBuffer>[] = [];
    const previews: Float32Array<ArrayBuffer>[] = [];
    const total = steps.length * Math.ceil(requests.length / this.slots);
    let done = 0;
    for (let first = 0; first < requests.length; first += this.slots) {
      const batch = requests.slice(first, first + this.slots)
        .map((image): Underway => ({ image, plan: steps, done: 0 }));
      for (let step = 0; step < steps.length; step++) {
        advance(this.#batch, batch);
        done++;
        if (first === 0 && previewAt.includes(step)) {
          noisy.push(await this.#read("x", batch.length));
          previews.push(await this.#read("preview", batch.length));
        }
        if (onStep) {
          if (done % STEPS_PER_WAIT === 0) await this.#batch.settle();
          await onStep(done, total);
        }
      }
      images.set(await this.#read("x", batch.length), first * perImage);
    }
    return { images, noisy, previews };
  }

  /**
   * Samples images in one batch, and reads them after each step. The batch must not be used for anything else meanwhile.
   *
   * @param requests at most as many as there are slots
   * @param steps the sampler's plan, from `planSampling`
   * @param of pictures of the steps before the last: the estimate of x_0 (`preview`), or x_t (`x`)
   * @throws {ConfigError} for guidance with a network that lacks the classes it needs
   */
  async *steps(
    requests: readonly SlotImage[],
    steps: readonly PlannedStep[],
    of: SlotPicture["of"],
  ): AsyncGenerator<StepImages, void> {
    this.#batch.refresh();
    const batch = requests.map((image): Underway => ({ image, plan: steps, done: 0 }));
    for (let done = 1; done <= steps.length; done++) {
      advance(this.#batch, batch);
      const images = await this.#read(done === steps.length ? "x" : of, batch.length);
      yield { done, total: steps.length, images };
    }
  }

  /** Frees all buffers except the weights. */
  destroy(): void {
    this.#batch.destroy();
  }

  /** Reads the first `count` slots, concatenated. */
  async #read(of: SlotPicture["of"], count: number): Promise<Float32Array<ArrayBuffer>> {
    const pictures = await this.#batch.read(Array.from({ length: count }, (_, slot) => ({ slot, of })));
    const all = new Float32Array(pictures.reduce((sum, picture) => sum + picture.length, 0));
    let position = 0;
    for (const picture of pictures) {
      all.set(picture, position);
      position += picture.length;
    }
    return all;
  }
}
