/**
 * A trained classifier on a device, ready to give features and class probabilities.
 *
 * @module
 */
import type { KernelTarget } from "../../../kernels/target.ts";
import type { Gpu } from "../../gpu/device.ts";
import { destroyBuffer, uploadBuffer } from "../../gpu/memory.ts";
import { type ClassifierConfig, featureCount } from "./config.ts";
import { readClassifier } from "./files.ts";
import { type Classified, classifierParameters, ClassifierPass } from "./pass.ts";

/** Images per batch of {@linkcode Classifier.run}. */
const BATCH = 100;

/** A classifier of images. */
export class Classifier {
  /** The network and its classes. */
  readonly config: ClassifierConfig;
  /** SHA-256 of the weight file. */
  readonly digest: string;
  readonly #gpu: Gpu;
  readonly #weights: GPUBuffer;
  readonly #target: KernelTarget | undefined;
  #pass: ClassifierPass | undefined;

  private constructor(
    gpu: Gpu,
    config: ClassifierConfig,
    digest: string,
    weights: GPUBuffer,
    target?: KernelTarget,
  ) {
    this.#gpu = gpu;
    this.config = config;
    this.digest = digest;
    this.#weights = weights;
    this.#target = target;
  }

  /**
   * Loads a classifier.
   *
   * @param directory of `deno task train:classifier`
   * @param target kernel variants; default those for the device
   * @throws {CheckpointError} naming a file that is missing or damaged, or a tensor that does not fit the network
   * @throws {DeviceError} if it does not fit into device memory
   */
  static async load(gpu: Gpu, directory: string, target?: KernelTarget): Promise<Classifier> {
    const { config, tensors, digest } = await readClassifier(directory);
    const flat = classifierParameters(config).toMemory(tensors, directory);
    const weights = uploadBuffer(gpu, flat, "weights of the classifier");
    return new Classifier(gpu, config, digest, weights, target);
  }

  /** Features per image. */
  get featureCount(): number {
    return featureCount(this.config);
  }

  /**
   * Features and class probabilities of images.
   *
   * @param images bytes [count, S, S, 3]
   * @param onBatch called after each batch with the number of images done
   * @throws {ShapeError} if the bytes are not whole images
   */
  async run(
    images: Uint8Array,
    onBatch?: (done: number) => void | Promise<void>,
  ): Promise<Classified> {
    this.#pass ??= await ClassifierPass.build(this.#gpu, this.config, BATCH, this.#weights, this.#target);
    return await this.#pass.run(images, onBatch);
  }

  /** Frees its device memory. */
  destroy(): void {
    this.#pass?.destroy();
    destroyBuffer(this.#gpu, this.#weights);
  }
}
