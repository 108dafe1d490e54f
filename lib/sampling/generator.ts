/**
 * Drawing images on the device: a batch of slots, each with its own class, seed and guidance, taken through a sampler's
 * steps without anything being read back in between.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../gpu/device.ts";
import { imageSize, type UNetConfig } from "../model/config.ts";
import type { Precision } from "../model/precision.ts";
import type { SamplerStep } from "../diffusion/sampler.ts";
import { checkGuidable, SlotBatch, type SlotImage, type SlotPicture } from "./slot_batch.ts";
import { advance, type Underway } from "./underway.ts";

/** What a generator is made for. */
export interface GeneratorOptions {
  readonly config: UNetConfig;
  /** The weights, laid out as `ParameterTable` says; read at every step, so they may change between runs. */
  readonly weights: GPUBuffer;
  /** Images drawn at once. */
  readonly slots: number;
  /** Whether guidance is used: each step then asks the network twice, in one batch, for images with a scale but 1. */
  readonly guided: boolean;
  /** Whether the class table's last row stands for no class, which guidance needs. Default: where there is a table. */
  readonly nullClass?: boolean;
  /** Kernel variants to use; default those that suit the device. */
  readonly target?: KernelTarget;
  /** How activations lie in memory; default float32. The weights must be laid out for it. */
  readonly precision?: Precision;
}

/** Rows of the network's batch that a generator's steps take. */
export function generatorRows({ slots, guided }: Pick<GeneratorOptions, "slots" | "guided">): number {
  return guided ? 2 * slots : slots;
}

/** What {@linkcode Generator.draw} tells while it runs. */
export interface DrawOptions {
  /**
   * Asked after each step; a listener makes the CPU wait for the device now and then.
   * @param done steps done, counted over all batches
   */
  onStep?: (done: number, total: number) => void | Promise<void>;
  /** Steps (from 0) after which to keep the estimate of the finished images, for pictures of the process. */
  previewAt?: readonly number[];
}

/** What was drawn. */
export interface Drawn {
  /** [count, H, W, C] in [-1, 1]. */
  readonly images: Float32Array<ArrayBuffer>;
  /** x_t after each step of `previewAt`, [count, H, W, C], for the images of the first batch. */
  readonly noisy: readonly Float32Array<ArrayBuffer>[];
  /** The estimate of x_0 at each step of `previewAt`, for the images of the first batch. */
  readonly previews: readonly Float32Array<ArrayBuffer>[];
}

/** Wait for the device after so many steps where somebody listens, so that progress is true. */
const STEPS_PER_WAIT = 4;

/** Draws images in batches of a fixed number of slots. */
export class Generator {
  readonly slots: number;
  readonly guided: boolean;
  readonly #config: UNetConfig;
  readonly #batch: SlotBatch;

  private constructor({ slots, guided, config }: GeneratorOptions, batch: SlotBatch) {
    this.slots = slots;
    this.guided = guided;
    this.#config = config;
    this.#batch = batch;
  }

  /**
   * Records the network and the sampler's step for a number of slots.
   *
   * @throws {ConfigError} when guidance is asked of a network without classes, or the network's output is no image
   *   like its input (a learned variance, say)
   * @throws {DeviceError} when the device cannot hold it
   */
  static async build(gpu: Gpu, options: GeneratorOptions): Promise<Generator> {
    if (options.guided) checkGuidable("a scale other than 1", options);
    const rows = [generatorRows(options)];
    return new Generator(options, await SlotBatch.build(gpu, { ...options, rows }));
  }

  /** Floating-point operations of the products in one step of all slots. */
  get flopsPerStep(): number {
    return this.#batch.flopsPerStep;
  }

  /**
   * Draws images, as many batches as it takes.
   *
   * @param steps the sampler's plan, from `planSampling`
   */
  async draw(
    requests: readonly SlotImage[],
    steps: readonly SamplerStep[],
    options: DrawOptions = {},
  ): Promise<Drawn> {
    const { onStep, previewAt = [] } = options;
    this.#batch.refresh();
    const [height, width] = imageSize(this.#config);
    const perImage = height * width * this.#config.inChannels;
    const images = new Float32Array(requests.length * perImage);
    const noisy: Float32Array<ArrayBuffer>[] = [];
    const previews: Float32Array<ArrayBuffer>[] = [];
    const total = steps.length * Math.ceil(requests.length / this.slots);
    let done = 0;
    for (let first = 0; first < requests.length; first += this.slots) {
      const batch = requests.slice(first, first + this.slots).map((request): Underway => {
        const image = this.guided ? request : { ...request, guidance: 1 };
        return { image, plan: steps, done: 0 };
      });
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

  /** Frees everything but the weights. */
  destroy(): void {
    this.#batch.destroy();
  }

  /** The pictures in the first `count` slots, one after the other. */
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
