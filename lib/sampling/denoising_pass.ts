/**
 * Passes of a network over given images at chosen noise levels, and its errors there, for evaluation. Nothing is read back
 * between passes.
 *
 * @module
 */
import { denoisingErrors, noiseRows } from "../../kernels/denoising.ts";
import { DenoisingErrorLayout, NoisedRowLayout } from "../../kernels/records/layouts.ts";
import {
  decodeDenoisingErrors,
  type DenoisingError,
  encodeNoisedRows,
  type NoisedRow,
} from "../../kernels/records/evaluation.ts";
import { storedIn } from "../../kernels/storage.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import { estimates, type ForwardProcess, type NoiseLevel } from "../diffusion/forward_process.ts";
import { noClip } from "../diffusion/samplers/step.ts";
import type { Gpu } from "../gpu/device.ts";
import { type BufferView, ResourceScope } from "../gpu/memory.ts";
import { Pace, settle } from "../gpu/pace.ts";
import { precompile } from "../gpu/precompile.ts";
import { buildProgram, type Program } from "../gpu/program.ts";
import { readBack } from "../gpu/readback.ts";
import { fitMemory, kernelTarget } from "../graph/compile.ts";
import { paddedChannels } from "../graph/tensor.ts";
import { imageChannels, imageSize, type UNetConfig } from "../model/config.ts";
import { forwardPass } from "../model/network.ts";
import type { Precision } from "../model/precision.ts";
import { splitSeed } from "../random.ts";
import { checkOutChannels } from "./channels.ts";
import { padBytes, unpadChannels } from "./padding.ts";

/** Options of {@linkcode DenoisingPass.build}. */
export interface DenoisingPassOptions {
  /** The network. */
  readonly config: UNetConfig;
  /** Forward process of the training. */
  readonly process: ForwardProcess;
  /** Weights in the layout of `ParameterTable`; they may change between passes. */
  readonly weights: GPUBuffer;
  /** Images of a pass, 1 or more. */
  readonly rows: number;
  /** Kernel variants to use; default: those that suit the device. */
  readonly target?: KernelTarget;
  /** Default float32. The weights must be in the layout for it. */
  readonly precision?: Precision;
}

/** Noise for an image that was loaded. Its values depend on seed, image and level numbers only. */
export interface NoisedImage {
  /** Number of the image, 0 to 2^32 - 1. */
  readonly image: number;
  /** Number of the level, 0 to 2^32 - 1. */
  readonly index: number;
  /** Noise level to bring it to. */
  readonly level: NoiseLevel;
  /** With a learned variance, logarithm of the largest over the smallest at the level; default 0. */
  readonly logRatio?: number;
}

/** Passes whose errors fit into device memory before they must be read. */
const UNREAD_PASSES = 256;

type Buffers = Readonly<
  Record<
    "rows" | "x0" | "targets" | "estimates" | "logRatios" | "errors" | "labels" | "staging",
    BufferView
  >
>;

/** A network that denoises given images; one with self-conditioning has no estimates of them, as in the first step of sampling. */
export class DenoisingPass {
  /** The network. */
  readonly config: UNetConfig;
  /** Forward process of the training. */
  readonly process: ForwardProcess;
  /** Images of a pass at most. */
  readonly rows: number;
  readonly #gpu: Gpu;
  readonly #scope: ResourceScope;
  readonly #buffers: Buffers;
  readonly #timesteps: BufferView;
  readonly #program: Program;
  readonly #pace = new Pace();
  /** Images loaded. */
  #images = 0;
  /** Error records of passes that were not read yet. */
  #unread = 0;

  private constructor(
    gpu: Gpu,
    scope: ResourceScope,
    { config, process, rows }: DenoisingPassOptions,
    parts: { buffers: Buffers; timesteps: BufferView; program: Program },
  ) {
    this.config = config;
    this.process = process;
    this.rows = rows;
    this.#gpu = gpu;
    this.#scope = scope;
    this.#buffers = parts.buffers;
    this.#timesteps = parts.timesteps;
    this.#program = parts.program;
  }

  /**
   * Records the network between noising and errors.
   *
   * @throws {ConfigError} if the network's output has neither the channels of its input nor, for a learned variance, twice as many
   * @throws {DeviceError} if the batch does not fit into device memory
   */
  static async build(gpu: Gpu, options: DenoisingPassOptions): Promise<DenoisingPass> {
    const { config, target = kernelTarget(gpu) } = options;
    checkOutChannels(config);
    return await fitMemory(target, (target) => DenoisingPass.#build(gpu, { ...options, target }));
  }

  static async #build(gpu: Gpu, options: DenoisingPassOptions): Promise<DenoisingPass> {
    const { config, weights, rows, target, precision } = options;
    const what = `evaluation with a batch of ${rows}`;
    const scope = new ResourceScope(gpu, what);
    return await scope.guard(async () => {
      const [height, width] = imageSize(config);
      const shape = { rows, height, width, channels: imageChannels(config) };
      const imageBytes = 4 * height * width * paddedChannels(imageChannels(config));
      const forward = scope.own(forwardPass(gpu, config, rows, weights, what, { target, precision }));
      const errorBytes = DenoisingErrorLayout.bytes * rows * UNREAD_PASSES;
      const buffers = {
        rows: scope.buffer(NoisedRowLayout.bytes * rows, "rows"),
        x0: scope.buffer(rows * imageBytes, "x_0"),
        targets: scope.buffer(rows * imageBytes, "targets"),
        estimates: scope.buffer(rows * imageBytes, "estimates"),
        logRatios: scope.buffer(rows * imageBytes, "logarithms of variances"),
        errors: scope.buffer(errorBytes, "errors"),
        labels: forward.inputs.labels ?? scope.buffer(4 * rows, "labels"),
        staging: scope.buffer(Math.max(errorBytes, rows * imageBytes), "read-back", "staging"),
      };
      const { rows: records, x0: x_0, targets, estimates, logRatios, errors } = buffers;
      const half = precision === "mixed";
      const { prediction } = forward;
      const learned = config.outChannels > imageChannels(config);
      const written = { estimates, log_ratios: logRatios, errors };
      const launches = [
        ...storedIn(half, noiseRows(shape, { rows: records, x_0, x: forward.inputs.x, targets })),
        ...forward.launches,
        ...storedIn(
          half,
          denoisingErrors(shape, { rows: records, prediction, targets, x_0, ...written }, learned),
        ),
      ];
      await precompile(gpu, launches);
      const program = scope.own(await buildProgram(gpu, launches));
      return new DenoisingPass(gpu, scope, options, {
        buffers,
        timesteps: forward.inputs.timesteps,
        program,
      });
    });
  }

  /**
   * Loads images, in place of those before.
   *
   * @param bytes shape [count, H, W, C], at most {@linkcode DenoisingPass.rows} images
   * @param labels class of each; ignored by unconditional networks
   */
  load(bytes: Uint8Array, labels: ArrayLike<number>): void {
    const { x0, labels: buffer } = this.#buffers;
    const { queue } = this.#gpu.device;
    queue.writeBuffer(x0.buffer, x0.offset, padBytes(bytes, imageChannels(this.config)));
    queue.writeBuffer(buffer.buffer, buffer.offset, Uint32Array.from(labels));
    this.#images = labels.length;
  }

  /** True if errors must be read before the next pass. */
  get full(): boolean {
    return this.#unread + this.#images > this.rows * UNREAD_PASSES;
  }

  /**
   * Denoises all loaded images once. Waits for the device about once a second.
   *
   * @param noised noise of each loaded image, in order
   * @param seed of the noise, 0 to 2^53 - 1
   * @throws {RangeError} if noise is not given for each loaded image, or errors must be read first
   */
  async run(noised: readonly NoisedImage[], seed: number): Promise<void> {
    if (noised.length !== this.#images) throw new RangeError(`${noised.length} of ${this.#images} images`);
    if (this.full) throw new RangeError("errors must be read before the next pass");
    const { queue } = this.#gpu.device;
    const { rows } = this.#buffers;
    const records = noised.map((one) => rowOf(this.process, one, seed, this.#unread++));
    queue.writeBuffer(rows.buffer, rows.offset, encodeNoisedRows(records, this.rows));
    const timesteps = Float32Array.from(noised, ({ level }) => level.timestep);
    queue.writeBuffer(this.#timesteps.buffer, this.#timesteps.offset, timesteps);
    this.#program.run();
    this.#pace.submitted();
    if (!this.#pace.due) return;
    await settle(this.#gpu);
    this.#pace.waited();
  }

  /** Waits for the device, and reads the errors of all passes since the last call: those of each pass in the images' order. */
  async readErrors(): Promise<DenoisingError[]> {
    const { errors, staging } = this.#buffers;
    const size = DenoisingErrorLayout.bytes * this.#unread;
    this.#unread = 0;
    if (size === 0) return [];
    const [bytes] = await readBack(this.#gpu, [{ ...errors, size }], staging.buffer);
    this.#pace.waited();
    return decodeDenoisingErrors(bytes!); // one per view
  }

  /** Waits for the device, and reads the last pass's estimates of `x_0`, clipped: shape [images, H, W, C]. */
  async readEstimates(): Promise<Float32Array<ArrayBuffer>> {
    return await this.#readImages(this.#buffers.estimates);
  }

  /**
   * Waits for the device, and reads the last pass's logarithms of the variance of `p(x_s | x_t)` over that of the posterior:
   * shape [images, H, W, C], zeros where the variance is not learned.
   */
  async readLogRatios(): Promise<Float32Array<ArrayBuffer>> {
    return await this.#readImages(this.#buffers.logRatios);
  }

  async #readImages(of: BufferView): Promise<Float32Array<ArrayBuffer>> {
    const { staging } = this.#buffers;
    const size = of.size / this.rows * this.#images;
    const [bytes] = await readBack(this.#gpu, [{ ...of, size }], staging.buffer);
    this.#pace.waited();
    return unpadChannels(new Float32Array(bytes!), imageChannels(this.config)); // one per view
  }

  /** Frees all buffers except the weights. */
  destroy(): void {
    this.#scope.destroy();
  }
}

/** Coefficients of a row. */
function rowOf(
  process: ForwardProcess,
  { image, index, level, logRatio = 0 }: NoisedImage,
  seed: number,
  result: number,
): NoisedRow {
  const [seedLo, seedHi] = splitSeed(seed);
  const { signal, noise } = level;
  const { fromX0: targetFromX0, fromNoise: targetFromNoise } = process.target(level);
  const { x0FromOut } = estimates(process, level);
  const clip = process.clip === false ? noClip : process.clip;
  return {
    ...{ image, level: index, seedLo, seedHi, result },
    ...{ signal, noise, targetFromX0, targetFromNoise, x0FromOut, clip, logRatio },
  };
}
