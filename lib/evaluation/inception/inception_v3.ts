/**
 * Features of images by InceptionV3 on a device, for the Fréchet Inception distance (Heusel et al. 2017, arXiv 1706.08500), the
 * kernel distance (Binkowski et al. 2018, arXiv 1801.01401) and the Inception score (Salimans et al. 2016, arXiv 1606.03498).
 *
 * @module
 */
import { createHash } from "node:crypto";
import { checkWhole } from "../../checks.ts";
import { ConfigError, DeviceError } from "../../errors.ts";
import { readModelFile } from "../../files/checkpoint_files.ts";
import { decodeWeightFile } from "../../files/pipeline.ts";
import type { Gpu } from "../../gpu/device.ts";
import { destroyBuffer, uploadBuffer } from "../../gpu/memory.ts";
import { inceptionParameters, type InceptionSizes, STANDARD_SIZES } from "./network.ts";
import { InceptionPass, type InceptionPassOptions, RESIZES } from "./pass.ts";
import { inceptionWeights } from "./weights.ts";

/**
 * How images are brought to the network's size and range. Distances are comparable only where it is the same.
 *
 * - `pytorch-fid`: bilinear with values at the centres of pixels (PyTorch's `align_corners=False`), then `2 x / 255 - 1`
 * - `tensorflow`: TensorFlow 1's bilinear resize with values at their corners, then `x / 128 - 1`
 */
export type Preprocessing = "pytorch-fid" | "tensorflow";

/** All preprocessings. */
export const PREPROCESSINGS: readonly Preprocessing[] = Object.keys(RESIZES) as Preprocessing[];

/** Images per pass by default. */
const BATCH: Readonly<Record<"software" | "gpu", number>> = { software: 4, gpu: 32 };
/** Limit on the option `batch`. */
const MAX_BATCH = 256;

/** Options of {@linkcode InceptionV3.load}. */
export interface InceptionOptions {
  /** Default `pytorch-fid`. */
  readonly preprocessing?: Preprocessing;
  /** Images per pass of the network, 1 to 256; default 32 on a GPU, 4 on a CPU. Fewer where the device cannot bind as many. */
  readonly batch?: number;
  /** Called if the file has several state dicts, with the one that was taken; default `console.warn`. */
  readonly onWarning?: (message: string) => void;
  /** Another network of the same structure, for tests; default that of FID. */
  readonly sizes?: InceptionSizes;
}

/** Images of bytes, such as `Images`. */
export interface ImageBatch {
  /** RGB values 0 to 255, `[count, height, width, 3]`. */
  readonly pixels: Uint8Array;
  /** Number of images. */
  readonly count: number;
  /** Height of each in pixels. */
  readonly height: number;
  /** Width of each in pixels. */
  readonly width: number;
}

/** Options of {@linkcode InceptionV3.features}. */
export interface FeatureOptions {
  /** Called with the number of images done, whenever the CPU has waited for the device. */
  readonly onProgress?: (done: number, total: number) => void | Promise<void>;
  /** Ends between passes, with the signal's reason as error. */
  readonly signal?: AbortSignal;
}

/** Features of images, in their order. */
export interface InceptionFeatures {
  /** Output of the last pool, `[count, 2048]`: the features of FID and KID. */
  readonly pool3: Float32Array<ArrayBuffer>;
  /** Inputs of the softmax of the Inception score, `[count, 1008]`, without the bias of the last layer. */
  readonly logits: Float32Array<ArrayBuffer>;
}

/** InceptionV3 on a device. */
export class InceptionV3 {
  /** How images are brought to the network's size and range. */
  readonly preprocessing: Preprocessing;
  /** SHA-256 of the file of weights, in hex. */
  readonly digest: string;
  readonly #gpu: Gpu;
  readonly #weights: GPUBuffer;
  readonly #options: Omit<InceptionPassOptions, "height" | "width">;
  /** For images of the size that came last. */
  #pass: InceptionPass | undefined;
  /** Settles when all calls so far are done. */
  #idle: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(
    gpu: Gpu,
    digest: string,
    preprocessing: Preprocessing,
    options: Omit<InceptionPassOptions, "height" | "width">,
  ) {
    this.preprocessing = preprocessing;
    this.digest = digest;
    this.#gpu = gpu;
    this.#weights = options.weights;
    this.#options = options;
  }

  /**
   * Loads the network.
   *
   * @param path the weights `pt_inception-2015-12-05` as published for PyTorch (`.pth`), or as a safetensors file with the same
   *   tensors; see docs/evaluation.md
   * @throws {CheckpointError} naming the file, and the tensor if one does not fit
   * @throws {ConfigError} for an unknown preprocessing or a batch out of range
   * @throws {DeviceError} if the weights do not fit into device memory
   */
  static async load(gpu: Gpu, path: string, options: InceptionOptions = {}): Promise<InceptionV3> {
    const { preprocessing = "pytorch-fid", sizes = STANDARD_SIZES, onWarning = console.warn } = options;
    const { batch = BATCH[gpu.adapter.software ? "software" : "gpu"] } = options;
    if (!Object.hasOwn(RESIZES, preprocessing)) {
      throw new ConfigError("preprocessing", preprocessing, PREPROCESSINGS.join(" or "));
    }
    checkWhole("batch", batch, 1, MAX_BATCH);
    const bytes = await readModelFile(path);
    const { tensors } = await decodeWeightFile(bytes, path, onWarning);
    const flat = inceptionWeights(tensors, inceptionParameters(sizes), path);
    const digest = createHash("sha256").update(bytes).digest("hex");
    const weights = uploadBuffer(gpu, flat, "weights of Inception");
    const resize = RESIZES[preprocessing];
    return new InceptionV3(gpu, digest, preprocessing, { batch, weights, resize, sizes });
  }

  /**
   * Features of images. Those of an image depend on it alone, not on the other images of its batch. Calls run one after the
   * other.
   *
   * @throws {ConfigError} if `pixels` is not as long as the sizes say
   * @throws {DeviceError} if a pass does not fit into device memory, the device fails, or the network was closed
   */
  features(images: ImageBatch, options: FeatureOptions = {}): Promise<InceptionFeatures> {
    const result = this.#idle.then(() => this.#features(images, options));
    this.#idle = result.catch(() => {});
    return result;
  }

  /** Waits for calls underway, then frees the network. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#idle;
    this.#pass?.destroy();
    destroyBuffer(this.#gpu, this.#weights);
  }

  async #features(
    { pixels, count, height, width }: ImageBatch,
    { onProgress, signal }: FeatureOptions,
  ): Promise<InceptionFeatures> {
    if (this.#closed) throw new DeviceError("this network was closed; load it again");
    const perImage = height * width * 3;
    if (pixels.length !== count * perImage) {
      throw new ConfigError(
        "pixels.length",
        pixels.length,
        `count x height x width x 3 = ${count * perImage}`,
      );
    }
    const pass = await this.#passFor(height, width);
    const pool3 = new Float32Array(count * pass.pool3Channels);
    const logits = new Float32Array(count * pass.classes);
    for (let first = 0; first < count;) {
      signal?.throwIfAborted();
      const last = Math.min(count, first + pass.imagesPerRead);
      const some = await pass.run(pixels.subarray(first * perImage, last * perImage));
      pool3.set(some.pool3, first * pass.pool3Channels);
      logits.set(some.logits, first * pass.classes);
      await onProgress?.(last, count);
      first = last;
    }
    return { pool3, logits };
  }

  async #passFor(height: number, width: number): Promise<InceptionPass> {
    if (this.#pass?.height !== height || this.#pass.width !== width) {
      this.#pass?.destroy();
      this.#pass = undefined;
      this.#pass = await InceptionPass.build(this.#gpu, { ...this.#options, height, width });
    }
    return this.#pass;
  }
}
