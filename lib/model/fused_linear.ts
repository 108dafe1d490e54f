/**
 * Linear layers with the same input, computed as one product: their outputs lie side by side, and their weights are columns
 * of one matrix. Checkpoints keep a weight and a bias of each layer.
 *
 * @module
 */
import { ShapeError } from "../errors.ts";
import type { Graph, Initializer } from "../graph/graph.ts";
import { conv2d, type RowBias } from "../graph/ops.ts";
import { paddedChannels, type Tensor } from "../graph/tensor.ts";

/** Initialization of weights and biases. */
export interface LinearInit {
  readonly weight: Initializer;
  readonly bias: Initializer;
}

/** Fused linear layers over channels. */
export class FusedLinear {
  /** Outputs of all layers side by side, each padded to a multiple of 4 channels: [N, H, W, sum]. */
  readonly y: Tensor;
  readonly #g: Graph;
  readonly #inChannels: number;
  readonly #weight: Tensor;
  readonly #bias: Tensor;
  /** Output channels of the layers that are not declared yet. */
  readonly #widths: number[];
  #first = 0;

  /**
   * Records the product.
   *
   * @param name of the product in profiles
   * @param widths output channels of each layer
   */
  constructor(g: Graph, name: string, x: Tensor, widths: readonly number[]) {
    const total = widths.reduce((sum, width) => sum + paddedChannels(width), 0);
    this.#g = g;
    this.#inChannels = x.shape[3];
    this.#widths = [...widths];
    [this.#weight, this.#bias, this.y] = g.scope(name, () => {
      const weight = g.fusedParameter("weight", "linear", [total, x.shape[3]]);
      const bias = g.fusedParameter("bias", "vector", [total]);
      return [weight, bias, conv2d(g, x, { weight, bias }, { kernel: 1, stride: 1, padding: 0 })];
    });
  }

  /** Layers that are not declared yet. */
  get undeclared(): number {
    return this.#widths.length;
  }

  /**
   * Declares the parameters of the next layer under the current scope.
   *
   * @returns its output, which may be the bias of a convolution
   * @throws {ShapeError} if all layers are declared
   */
  declare(name: string, { weight, bias }: LinearInit): RowBias {
    const width = this.#widths.shift();
    if (width === undefined) throw new ShapeError(`${this.#g.label(name)}: all fused layers are declared`);
    const first = this.#first;
    this.#first += paddedChannels(width);
    this.#g.scope(name, () => {
      this.#g.parameterIn(this.#weight, first, "weight", "linear", [width, this.#inChannels], weight);
      this.#g.parameterIn(this.#bias, first, "bias", "vector", [width], bias);
    });
    return { of: this.y, first };
  }
}
