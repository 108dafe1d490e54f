/**
 * Pass of InceptionV3 over a batch of images of one size.
 *
 * @module
 */
import type { KernelTarget } from "../../../kernels/target.ts";
import type { Gpu } from "../../gpu/device.ts";
import { alignUp, type BufferView, ResourceScope } from "../../gpu/memory.ts";
import { buildProgram, type Program } from "../../gpu/program.ts";
import { readBack } from "../../gpu/readback.ts";
import { compileGraph, fitMemory, kernelTarget } from "../../graph/compile.ts";
import { HoistedConstants } from "../../graph/constants.ts";
import { Graph } from "../../graph/graph.ts";
import type { ResizeAttributes } from "../../graph/attributes.ts";
import { outputsOf } from "../../graph/operations.ts";
import { bindParameters, createInputs } from "../../model/network.ts";
import { type InceptionOutputs, type InceptionSizes, inceptionV3 } from "./network.ts";

/** Resizes by name; see `Preprocessing` in inception_v3.ts. */
export const RESIZES = {
  "pytorch-fid": { centre: 0.5, scale: 2 / 255, shift: -1 },
  tensorflow: { centre: 0, scale: 1 / 128, shift: -1 },
} as const satisfies Record<string, ResizeAttributes>;

/** Options of {@linkcode InceptionPass.build}. */
export interface InceptionPassOptions {
  /** Height and width of the images. */
  readonly height: number;
  readonly width: number;
  /** Images per pass; fewer where the device cannot bind as many. */
  readonly batch: number;
  /** Laid out by `ParameterTable`. */
  readonly weights: GPUBuffer;
  readonly resize: ResizeAttributes;
  readonly sizes: InceptionSizes;
  readonly target?: KernelTarget;
}

/** Memory limit for transformed weights in bytes; those of the standard network take 70 MB. */
const MAX_CONSTANT_BYTES = 2 ** 28;
/** Passes between reads: on a GPU a read takes as long as a pass, since the runtime polls every 10 ms. */
const PASSES_PER_READ: Readonly<Record<KernelTarget["path"], number>> = { subgroup: 1, tile: 8 };

/** Results of a run: [images, channels]. */
interface Results {
  readonly pool3: Float32Array;
  readonly logits: Float32Array;
}

/** The recorded network with its buffers. */
export class InceptionPass {
  readonly height: number;
  readonly width: number;
  /** Channels of `pool3`. */
  readonly pool3Channels: number;
  /** Channels of `logits`. */
  readonly classes: number;
  readonly #gpu: Gpu;
  readonly #scope: ResourceScope;
  readonly #batch: number;
  readonly #program: Program;
  readonly #images: BufferView;
  /** `pool3` and `logits` of a pass, and room for those of all passes between two reads. */
  readonly #results: readonly { readonly of: BufferView; readonly kept: BufferView }[];
  /** Images of a pass in whole words. */
  readonly #host: Uint8Array<ArrayBuffer>;

  private constructor(
    gpu: Gpu,
    scope: ResourceScope,
    { height, width }: Pick<InceptionPassOptions, "height" | "width">,
    parts: {
      batch: number;
      program: Program;
      images: BufferView;
      results: readonly { of: BufferView; kept: BufferView }[];
      outputs: InceptionOutputs;
    },
  ) {
    this.height = height;
    this.width = width;
    this.pool3Channels = parts.outputs.pool3.shape[3];
    this.classes = parts.outputs.logits.shape[3];
    this.#gpu = gpu;
    this.#scope = scope;
    this.#batch = parts.batch;
    this.#program = parts.program;
    this.#images = parts.images;
    this.#results = parts.results;
    this.#host = new Uint8Array(parts.images.size);
  }

  /** @throws {DeviceError} if it does not fit into device memory */
  static async build(gpu: Gpu, options: InceptionPassOptions): Promise<InceptionPass> {
    const { target = kernelTarget(gpu) } = options;
    return await fitMemory(target, (target) => InceptionPass.#build(gpu, { ...options, target }));
  }

  static #build(
    gpu: Gpu,
    options: InceptionPassOptions & { target: KernelTarget },
  ): Promise<InceptionPass> {
    const { target, weights } = options;
    const batch = bindableBatch(options, gpu.limits.maxStorageBufferBindingSize);
    const { g, outputs } = record(options, batch);
    const what = `Inception with a batch of ${batch}`;
    const scope = new ResourceScope(gpu, what);
    return scope.guard(async () => {
      const bound = createInputs(scope, g);
      const images = [...bound.values()][0]!; // the only input
      for (const [tensor, view] of bindParameters(g, weights)) bound.set(tensor, view);
      const constants = scope.own(new HoistedConstants(gpu, what, target.frugal ? 0 : MAX_CONSTANT_BYTES));
      const keep = [outputs.pool3, outputs.logits];
      const compiled = scope.own(compileGraph(gpu, g, { bound, keep, what, target, constants }));
      scope.own(await buildProgram(gpu, constants.launches)).run();
      const program = scope.own(await buildProgram(gpu, compiled.launches.flat()));
      const results = keep.map((tensor) => {
        const of = compiled.view(tensor);
        return { of, kept: scope.buffer(PASSES_PER_READ[target.path] * of.size, tensor.name) };
      });
      return new InceptionPass(gpu, scope, options, { batch, program, images, results, outputs });
    });
  }

  /** Most images of a {@linkcode run}. */
  get imagesPerRead(): number {
    const { of, kept } = this.#results[0]!; // of two
    return this.#batch * kept.size / of.size;
  }

  /**
   * Runs the network.
   *
   * @param pixels bytes of up to {@linkcode imagesPerRead} images
   */
  async run(pixels: Uint8Array): Promise<Results> {
    const perImage = this.height * this.width * 3;
    const count = pixels.length / perImage;
    const { device } = this.#gpu;
    for (let pass = 0; pass * this.#batch < count; pass++) {
      const first = pass * this.#batch * perImage;
      this.#host.set(pixels.subarray(first, first + this.#batch * perImage));
      device.queue.writeBuffer(this.#images.buffer, this.#images.offset, this.#host);
      this.#program.run();
      const encoder = device.createCommandEncoder();
      for (const { of, kept } of this.#results) {
        encoder.copyBufferToBuffer(of.buffer, of.offset, kept.buffer, pass * of.size, of.size);
      }
      device.queue.submit([encoder.finish()]);
    }
    const views = this.#results.map(({ kept }) => kept);
    const [pool3, logits] = await readBack(this.#gpu, views) as [ArrayBuffer, ArrayBuffer];
    return {
      pool3: rows(new Float32Array(pool3), count, this.pool3Channels),
      logits: rows(new Float32Array(logits), count, this.classes),
    };
  }

  destroy(): void {
    this.#scope.destroy();
  }
}

function record(
  { height, width, resize, sizes }: InceptionPassOptions,
  batch: number,
): { g: Graph; outputs: InceptionOutputs } {
  const g = new Graph();
  const images = g.input("images", [batch, height, width, 3], "uint8");
  return { g, outputs: inceptionV3(g, images, resize, sizes) };
}

/** Images whose largest tensor can be bound, at most those that are wanted. */
function bindableBatch(options: InceptionPassOptions, limit: number): number {
  const { g } = record(options, 1);
  const largest = Math.max(...g.nodes.flatMap(outputsOf).map(({ bytes }) => bytes));
  return Math.max(1, Math.min(options.batch, Math.floor(limit / largest)));
}

/** The first rows of a tensor, without padding. */
function rows(memory: Float32Array, count: number, channels: number): Float32Array {
  const stride = alignUp(channels, 4);
  const all = new Float32Array(count * channels);
  for (let row = 0; row < count; row++) {
    all.set(memory.subarray(row * stride, row * stride + channels), row * channels);
  }
  return all;
}
