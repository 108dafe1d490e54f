/**
 * Forward pass of the classifier on a device, over batches of a fixed size.
 *
 * @module
 */
import type { KernelTarget } from "../../../kernels/target.ts";
import { ShapeError } from "../../errors.ts";
import type { Gpu } from "../../gpu/device.ts";
import { type BufferView, ResourceScope } from "../../gpu/memory.ts";
import { buildProgram, type Program } from "../../gpu/program.ts";
import { readBack } from "../../gpu/readback.ts";
import { compileGraph } from "../../graph/compile.ts";
import { Graph } from "../../graph/graph.ts";
import { paddedChannels } from "../../graph/tensor.ts";
import { bindParameters, createInputs } from "../../model/network.ts";
import { ParameterTable } from "../../model/parameters.ts";
import { softmaxRows } from "../class_scores.ts";
import { type ClassifierConfig, featureCount } from "./config.ts";
import { classifierNetwork } from "./network.ts";

/** Features and class probabilities of images. */
export interface Classified {
  /** [count, F], row-major. */
  readonly features: Float32Array<ArrayBuffer>;
  /** [count, K], row-major; each row adds up to 1. */
  readonly probabilities: Float32Array<ArrayBuffer>;
}

/** Layout of the classifier's parameters in checkpoints and memory. */
export function classifierParameters(config: ClassifierConfig): ParameterTable {
  return new ParameterTable(recordPass(config, 1).g.parameters);
}

/** Records a forward pass. */
export function recordPass(config: ClassifierConfig, batch: number) {
  const { imageSize } = config;
  const g = new Graph();
  const x = g.input("x", [batch, imageSize, imageSize, 3]);
  return { g, x, ...classifierNetwork(g, config, x) };
}

/** Buffers of a pass. */
interface PassViews {
  readonly x: BufferView;
  readonly features: BufferView;
  readonly logits: BufferView;
}

/** Forward pass for batches of up to `batch` images. */
export class ClassifierPass {
  readonly #gpu: Gpu;
  readonly #config: ClassifierConfig;
  readonly #batch: number;
  readonly #scope: ResourceScope;
  readonly #program: Program;
  readonly #views: PassViews;

  private constructor(
    gpu: Gpu,
    config: ClassifierConfig,
    batch: number,
    scope: ResourceScope,
    program: Program,
    views: PassViews,
  ) {
    this.#gpu = gpu;
    this.#config = config;
    this.#batch = batch;
    this.#scope = scope;
    this.#program = program;
    this.#views = views;
  }

  /**
   * Compiles a pass.
   *
   * @param weights flat, laid out by {@linkcode classifierParameters}; they may change between runs
   * @throws {DeviceError} if there is too little device memory; nothing stays allocated
   */
  static build(
    gpu: Gpu,
    config: ClassifierConfig,
    batch: number,
    weights: GPUBuffer,
    target?: KernelTarget,
  ): Promise<ClassifierPass> {
    const what = `classification at batch ${batch}`;
    const scope = new ResourceScope(gpu, what);
    return scope.guard(async () => {
      const { g, x, features, logits } = recordPass(config, batch);
      const bound = new Map([...createInputs(scope, g), ...bindParameters(g, weights)]);
      const keep = [features, logits];
      const compiled = scope.own(compileGraph(gpu, g, { bound, keep, what, target }));
      const program = scope.own(await buildProgram(gpu, compiled.launches.flat()));
      const views = {
        x: compiled.view(x),
        features: compiled.view(features),
        logits: compiled.view(logits),
      };
      return new ClassifierPass(gpu, config, batch, scope, program, views);
    });
  }

  /**
   * Classifies images, batch by batch.
   *
   * @param images bytes [count, S, S, 3]
   * @param onBatch called after each batch with the number of images done
   * @throws {ShapeError} if the bytes are not whole images
   * @throws {DeviceError} if the device fails
   */
  async run(
    images: Uint8Array,
    onBatch: (done: number) => void | Promise<void> = () => {},
  ): Promise<Classified> {
    const { imageSize, classes } = this.#config;
    const bytes = imageSize * imageSize * 3;
    const count = images.length / bytes;
    if (!Number.isInteger(count)) {
      throw new ShapeError(`images: expected whole images of ${bytes} bytes, got ${images.length} bytes`);
    }
    const width = featureCount(this.#config);
    const features = new Float32Array(count * width);
    const probabilities = new Float32Array(count * classes.length);
    const x = new Float32Array(this.#batch * imageSize * imageSize * 4);
    for (let first = 0; first < count; first += this.#batch) {
      const size = Math.min(this.#batch, count - first);
      fillPixels(images.subarray(first * bytes, (first + size) * bytes), x);
      this.#gpu.device.queue.writeBuffer(this.#views.x.buffer, this.#views.x.offset, x);
      this.#program.run();
      const [ofFeatures, ofLogits] = await readBack(this.#gpu, [this.#views.features, this.#views.logits]);
      unpad(new Float32Array(ofFeatures!), width, features.subarray(first * width)); // one per view
      const own = probabilities.subarray(first * classes.length, (first + size) * classes.length);
      unpad(new Float32Array(ofLogits!), classes.length, own);
      softmaxRows(own, classes.length);
      await onBatch(first + size);
    }
    return { features, probabilities };
  }

  /** Frees everything but the weights. */
  destroy(): void {
    this.#scope.destroy();
  }
}

/** Scales bytes to [-1, 1], with channels padded from 3 to 4. */
function fillPixels(bytes: Uint8Array, x: Float32Array): void {
  for (let from = 0, to = 0; from < bytes.length; from += 3, to += 4) {
    for (let c = 0; c < 3; c++) x[to + c] = bytes[from + c]! / 127.5 - 1;
  }
}

/** Copies rows without their padding, as many as fit. */
function unpad(padded: Float32Array, width: number, into: Float32Array): void {
  const stride = paddedChannels(width);
  const rows = Math.min(padded.length / stride, into.length / width);
  for (let row = 0; row < rows; row++) {
    into.set(padded.subarray(row * stride, row * stride + width), row * width);
  }
}
