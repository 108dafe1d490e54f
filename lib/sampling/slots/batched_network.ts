/**
 * Passes of one network over batches of several sizes, of which one runs at a time: they share cached weight transforms and
 * the memory of their activations.
 *
 * @module
 */
import type { KernelTarget } from "../../../kernels/target.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { ResourceScope } from "../../gpu/memory.ts";
import { HoistedConstants } from "../../graph/constants.ts";
import type { UNetConfig } from "../../model/config.ts";
import { type ForwardPass, forwardPass } from "../../model/network.ts";
import type { Precision } from "../../model/precision.ts";

/** Memory limit for cached weight transforms in bytes; Winograd's take 0.6 GB for preset `ddpm`. */
const MAX_CONSTANT_BYTES = 2 ** 30;

/** Options of a {@linkcode BatchedNetwork}. */
export interface BatchedNetworkOptions {
  readonly config: UNetConfig;
  /** Weights in the layout of `ParameterTable`. */
  readonly weights: GPUBuffer;
  readonly target: KernelTarget;
  /** Default float32. The weights must be in the layout for it. */
  readonly precision?: Precision;
}

/** A network, recorded for batches of several sizes. */
export class BatchedNetwork {
  /** Weight transforms of all passes, to be computed before the first and whenever the weights have changed. */
  readonly constants: HoistedConstants;
  readonly #gpu: Gpu;
  readonly #scope: ResourceScope;
  readonly #options: BatchedNetworkOptions;
  readonly #what: string;
  /** Weights in float16. */
  readonly #copy: GPUBuffer | undefined;
  /** Memory of the first pass, for the others. */
  #reusable: readonly GPUBuffer[] = [];

  /**
   * @param scope owner of the passes and of the weight transforms
   * @param what use of the network, in errors about memory
   */
  constructor(gpu: Gpu, scope: ResourceScope, options: BatchedNetworkOptions, what: string) {
    const { memory } = gpu;
    const { weights, target, precision } = options;
    this.#gpu = gpu;
    this.#scope = scope;
    this.#options = options;
    this.#what = what;
    this.#copy = precision === "mixed"
      ? scope.buffer(weights.size / 2, "weights in float16").buffer
      : undefined;
    const limit = target.frugal ? 0 : Math.min(MAX_CONSTANT_BYTES, (memory.limit - memory.used) / 4);
    this.constants = scope.own(new HoistedConstants(gpu, what, limit));
  }

  /**
   * Records a pass over a batch of rows. The first pass should be the largest: the others reuse its memory.
   *
   * @throws {DeviceError} if the device lacks memory
   */
  pass(rows: number): ForwardPass {
    const { config, weights, ...options } = this.#options;
    const pass = this.#scope.own(
      forwardPass(this.#gpu, config, rows, weights, `${this.#what} with a batch of ${rows}`, {
        ...options,
        reuse: this.#reusable,
        copy: this.#copy,
        constants: this.constants,
      }),
    );
    if (this.#reusable.length === 0) this.#reusable = pass.reusable;
    return pass;
  }
}
