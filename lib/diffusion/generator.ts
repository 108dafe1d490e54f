/**
 * Drawing images on the device: a batch of slots, each with its own class, seed and guidance, taken through a sampler's
 * steps without anything being read back in between.
 *
 * @module
 */
import { encodePlan, encodeSlots, PLAN_ROW_BYTES, type Slot, SLOT_BYTES } from "../../kernels/sampling.ts";
import { samplerStep, slotInputs, slotNoise } from "../../kernels/sampler_step.ts";
import { ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { type BufferView, ResourceScope } from "../gpu/memory.ts";
import { buildProgram, type Program } from "../gpu/program.ts";
import { readBack } from "../gpu/readback.ts";
import { paddedChannels } from "../graph/tensor.ts";
import { classCount, imageSize, type UNetConfig } from "../model/config.ts";
import { forwardPass } from "../model/network.ts";
import { splitSeed } from "../random.ts";
import type { SamplerStep } from "./sampler.ts";

/** One image to draw. */
export interface ImageRequest {
  /** Class index; the number of classes, or any number where the network takes none, for no class. */
  readonly label: number;
  /** Integer from 0 to 2^53 - 1. The image depends on it, not on its place in a batch. */
  readonly seed: number;
  /** Scale of classifier-free guidance (Ho & Salimans 2022), 1 for none; ignored by an unguided generator. */
  readonly guidance: number;
}

/** What a generator is made for. */
export interface GeneratorOptions {
  readonly config: UNetConfig;
  /** The weights, laid out as `ParameterTable` says; read at every step, so they may change between runs. */
  readonly weights: GPUBuffer;
  /** Images drawn at once. */
  readonly slots: number;
  /** Whether guidance is used: each step then asks the network twice for every image, in one batch. */
  readonly guided: boolean;
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

/** Longest trajectory a plan buffer holds: every timestep of the reference schedule (Ho et al. 2020). */
const MAX_STEPS = 1000;
/** Wait for the device after so many steps where somebody listens, so that progress is true. */
const STEPS_PER_WAIT = 4;

interface GeneratorBuffers {
  readonly slots: BufferView;
  readonly plan: BufferView;
  readonly x: BufferView;
  readonly preview: BufferView;
}

/** Draws images in batches of a fixed number of slots. */
export class Generator {
  readonly slots: number;
  readonly guided: boolean;
  readonly #gpu: Gpu;
  readonly #config: UNetConfig;
  readonly #program: Program;
  readonly #buffers: GeneratorBuffers;
  readonly #scope: ResourceScope;

  private constructor(
    gpu: Gpu,
    options: GeneratorOptions,
    scope: ResourceScope,
    program: Program,
    buffers: GeneratorBuffers,
  ) {
    this.#gpu = gpu;
    this.slots = options.slots;
    this.guided = options.guided;
    this.#config = options.config;
    this.#scope = scope;
    this.#program = program;
    this.#buffers = buffers;
  }

  /**
   * Records the network and the sampler's step for a number of slots.
   *
   * @throws {ConfigError} when guidance is asked of a network without classes, or the network's output is no image
   *   like its input (a learned variance, say)
   * @throws {DeviceError} when the device cannot hold it
   */
  static async build(gpu: Gpu, options: GeneratorOptions): Promise<Generator> {
    const { config, weights, slots, guided } = options;
    if (guided && config.numClassEmbeds === null) {
      throw new ConfigError(
        "guidance",
        "a scale other than 1",
        "1, since this model was trained without classes",
      );
    }
    if (config.outChannels !== config.inChannels) {
      throw new ConfigError(
        "out_channels",
        config.outChannels,
        `in_channels (${config.inChannels}) to sample`,
      );
    }
    const [height, width] = imageSize(config);
    const what = `sampling ${slots} images at once`;
    const scope = new ResourceScope(gpu, what);
    return await scope.guard(async () => {
      const batch = guided ? 2 * slots : slots;
      const forward = scope.own(forwardPass(gpu, config, batch, weights, what));
      const imageBytes = 4 * slots * height * width * paddedChannels(config.inChannels);
      const buffers: GeneratorBuffers = {
        slots: scope.buffer(SLOT_BYTES * slots, "slots"),
        plan: scope.buffer(PLAN_ROW_BYTES * MAX_STEPS, "plan"),
        x: scope.buffer(imageBytes, "x"),
        preview: scope.buffer(imageBytes, "preview"),
      };
      const { plan } = buffers;
      // The kernel writes labels for a network that takes none, too.
      const label = forward.inputs.labels ?? scope.buffer(4 * batch, "labels");
      const { x: input, timesteps: timestep } = forward.inputs;
      const shape = { slots, height, width, channels: config.inChannels, guided };
      const state = { slots: buffers.slots, x: buffers.x };
      const program = await buildProgram(gpu, [
        ...slotNoise(shape, state),
        ...slotInputs(shape, classCount(config), { ...state, plan, input, timestep, label }),
        ...forward.launches,
        ...samplerStep(shape, { ...state, plan, model_out: forward.prediction, preview: buffers.preview }),
      ]);
      return new Generator(gpu, options, scope, scope.own(program), buffers);
    });
  }

  /** Floating-point operations of the products in one step of all slots. */
  get flopsPerStep(): number {
    return this.#program.flops;
  }

  /**
   * Draws images, as many batches as it takes.
   *
   * @param steps the sampler's plan, from `planSampling`, at most 1000 steps
   * @throws {ConfigError} for a longer plan
   */
  async draw(
    requests: readonly ImageRequest[],
    steps: readonly SamplerStep[],
    options: DrawOptions = {},
  ): Promise<Drawn> {
    const { onStep, previewAt = [] } = options;
    if (steps.length > MAX_STEPS) {
      throw new ConfigError("steps", steps.length, `at most ${MAX_STEPS}, which a generator holds`);
    }
    const [height, width] = imageSize(this.#config);
    const perImage = height * width * this.#config.inChannels;
    const images = new Float32Array(requests.length * perImage);
    const noisy: Float32Array<ArrayBuffer>[] = [];
    const previews: Float32Array<ArrayBuffer>[] = [];
    const { queue } = this.#gpu.device;
    queue.writeBuffer(this.#buffers.plan.buffer, 0, encodePlan(steps));
    const total = steps.length * Math.ceil(requests.length / this.slots);
    let done = 0;
    for (let first = 0; first < requests.length; first += this.slots) {
      const batch = requests.slice(first, first + this.slots);
      for (let step = 0; step < steps.length; step++) {
        queue.writeBuffer(this.#buffers.slots.buffer, 0, encodeSlots(this.#occupy(batch, step)));
        this.#program.run();
        done++;
        if (first === 0 && previewAt.includes(step)) {
          const [x, preview] = await this.#read([this.#buffers.x, this.#buffers.preview], batch.length);
          noisy.push(x);
          previews.push(preview);
        }
        if (onStep) {
          if (done % STEPS_PER_WAIT === 0) await this.#gpu.device.queue.onSubmittedWorkDone();
          await onStep(done, total);
        }
      }
      const [x] = await this.#read([this.#buffers.x], batch.length);
      images.set(x, first * perImage);
    }
    return { images, noisy, previews };
  }

  /** Frees everything but the weights. */
  destroy(): void {
    this.#scope.destroy();
  }

  /** The slots of a batch at one step; those past its end stay idle. */
  #occupy(batch: readonly ImageRequest[], step: number): (Slot | undefined)[] {
    return Array.from({ length: this.slots }, (_, i): Slot | undefined => {
      if (i >= batch.length) return undefined;
      const { label, seed, guidance } = batch[i];
      const [seedLo, seedHi] = splitSeed(seed);
      return { step, row: step, seedLo, seedHi, label, guidance };
    });
  }

  /** Reads the first `count` images of some buffers, channel padding removed. */
  async #read(views: readonly BufferView[], count: number): Promise<Float32Array<ArrayBuffer>[]> {
    const channels = this.#config.inChannels;
    const stride = paddedChannels(channels);
    const [height, width] = imageSize(this.#config);
    const size = 4 * count * height * width * stride;
    const copies = await readBack(this.#gpu, views.map((view) => ({ ...view, size })));
    return copies.map((copy) => {
      const padded = new Float32Array(copy);
      const images = new Float32Array(count * height * width * channels);
      for (let i = 0; i < images.length; i++) {
        images[i] = padded[Math.floor(i / channels) * stride + i % channels];
      }
      return images;
    });
  }
}
