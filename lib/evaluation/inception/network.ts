/**
 * InceptionV3 (Szegedy et al. 2016, arXiv 1512.00567) in the variant by which FID is computed: the TensorFlow graph
 * `inception-2015-12-05` of Heusel et al. 2017 (arXiv 1706.08500). It differs from the paper's: average pools count only pixels
 * inside the image, and the last block has a max pool in place of an average pool. Batch norms are part of the convolutions
 * (weights.ts). Names are those of the weights' state dict in PyTorch.
 *
 * @module
 */
import { Graph } from "../../graph/graph.ts";
import { globalAveragePool } from "../../graph/classifier_ops.ts";
import { averagePool, maxPool, resizeImages } from "../../graph/inference_ops.ts";
import {
  bothAxes,
  type ConvAttributes,
  type PerAxis,
  type ResizeAttributes,
} from "../../graph/attributes.ts";
import { concat, conv2d } from "../../graph/ops.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { ParameterTable } from "../../model/parameters.ts";

/** Sizes of the network. */
export interface InceptionSizes {
  /** Height and width that images are resized to, at least 75. */
  readonly side: number;
  /** Divisor of all numbers of channels, for tests; 1 or a power of two up to 16. */
  readonly divisor: number;
}

/** Sizes of the network by which FID is computed. */
export const STANDARD_SIZES: InceptionSizes = { side: 299, divisor: 1 };

/** Numbers of output channels at divisor 1. */
const LOGITS = 1008;

/** Results of {@linkcode inceptionV3}. */
export interface InceptionOutputs {
  /** Means over the positions of the last block's output, [N,1,1,2048]. */
  readonly pool3: Tensor;
  /** Products of those with the weights of the last layer, [N,1,1,1008]. */
  readonly logits: Tensor;
  /** Outputs of all convolutions and blocks before, by name. */
  readonly activations: ReadonlyMap<string, Tensor>;
}

/** A layer or a block: records itself, and returns its output. */
type Layer = (x: Tensor) => Tensor;

const ZEROS = { kind: "zeros" } as const;
const HALVED = { window: 3, stride: 2, padding: 0 } as const;
const AROUND = { window: 3, stride: 1, padding: 1 } as const;

/**
 * Records the network.
 *
 * @param images [N,H,W,3] uint8
 * @param resize how they are resized and scaled
 */
export function inceptionV3(
  g: Graph,
  images: Tensor,
  resize: ResizeAttributes,
  { side, divisor }: InceptionSizes = STANDARD_SIZES,
): InceptionOutputs {
  const blocks = new Blocks(g, divisor);
  const activations = new Map<string, Tensor>();
  let x = resizeImages(g, images, [side, side], resize);
  for (const [name, block] of blocks.inOrder()) {
    x = g.scope(name, () => block(x));
    activations.set(name, x);
    if (name === "Conv2d_2b_3x3" || name === "Conv2d_4a_3x3") x = maxPool(g, x, HALVED);
  }
  const pool3 = globalAveragePool(g, x);
  const logits = g.scope("fc", () => {
    const classes = LOGITS / divisor;
    const weight = g.parameter("weight", "linear", [classes, x.shape[3]], ZEROS);
    const bias = g.parameter("bias", "vector", [classes], ZEROS);
    return conv2d(g, pool3, { weight, bias }, { kernel: 1, stride: 1, padding: 0 });
  });
  return { pool3, logits, activations };
}

/** Parameters of the network, in order; needs no device. */
export function inceptionParameters(sizes: InceptionSizes = STANDARD_SIZES): ParameterTable {
  const g = new Graph();
  const images = g.input("images", [1, 1, 1, 3], "uint8");
  inceptionV3(g, images, { centre: 0.5, scale: 1, shift: 0 }, sizes);
  return new ParameterTable(g.parameters);
}

/** Blocks of the network over one graph. Channels are those at divisor 1. */
class Blocks {
  readonly #g: Graph;
  readonly #divisor: number;

  constructor(g: Graph, divisor: number) {
    this.#g = g;
    this.#divisor = divisor;
  }

  /** All blocks up to the last, by name, without the max pools between them. */
  inOrder(): [name: string, block: Layer][] {
    return [
      ["Conv2d_1a_3x3", this.#conv(32, { kernel: 3, stride: 2, padding: 0 })],
      ["Conv2d_2a_3x3", this.#conv(32, { kernel: 3, stride: 1, padding: 0 })],
      ["Conv2d_2b_3x3", this.#conv(64, { kernel: 3, stride: 1, padding: 1 })],
      ["Conv2d_3b_1x1", this.#conv(80, { kernel: 1, stride: 1, padding: 0 })],
      ["Conv2d_4a_3x3", this.#conv(192, { kernel: 3, stride: 1, padding: 0 })],
      ["Mixed_5b", this.#blockA(32)],
      ["Mixed_5c", this.#blockA(64)],
      ["Mixed_5d", this.#blockA(64)],
      ["Mixed_6a", this.#blockB()],
      ["Mixed_6b", this.#blockC(128)],
      ["Mixed_6c", this.#blockC(160)],
      ["Mixed_6d", this.#blockC(160)],
      ["Mixed_6e", this.#blockC(192)],
      ["Mixed_7a", this.#blockD()],
      ["Mixed_7b", this.#blockE((x) => averagePool(this.#g, x, AROUND))],
      ["Mixed_7c", this.#blockE((x) => maxPool(this.#g, x, AROUND))],
    ];
  }

  /** Convolution with batch norm and ReLU. */
  #conv(channels: number, attributes: ConvAttributes): Layer {
    const g = this.#g;
    const outputs = channels / this.#divisor;
    return (x) =>
      g.scope("conv", () => {
        const shape = [outputs, x.shape[3], ...bothAxes(attributes.kernel)];
        const weight = g.parameter("weight", "conv", shape, ZEROS);
        const bias = g.parameter("bias", "vector", [outputs], ZEROS);
        return conv2d(g, x, { weight, bias }, { ...attributes, relu: true });
      });
  }

  #named(name: string, layer: Layer): Layer {
    return (x) => this.#g.scope(name, () => layer(x));
  }

  /** A convolution that keeps height and width. */
  #same(name: string, channels: number, kernel: PerAxis): Layer {
    const [vertical, horizontal] = bothAxes(kernel);
    const padding = [vertical >> 1, horizontal >> 1] as const;
    return this.#named(name, this.#conv(channels, { kernel, stride: 1, padding }));
  }

  /** A convolution of 3x3 that halves them. */
  #halving(name: string, channels: number): Layer {
    return this.#named(name, this.#conv(channels, { kernel: 3, stride: 2, padding: 0 }));
  }

  /** Results of all branches, concatenated. */
  #joined(...branches: Layer[]): Layer {
    return (x) => branches.map((branch) => branch(x)).reduce((a, b) => concat(this.#g, a, b));
  }

  #pooled(channels: number, pool: Layer = (x) => averagePool(this.#g, x, AROUND)): Layer {
    return chain(pool, this.#same("branch_pool", channels, 1));
  }

  /** 5x5 windows beside two of 3x3 (section 3.1, figure 5). */
  #blockA(pooled: number): Layer {
    return this.#joined(
      this.#same("branch1x1", 64, 1),
      chain(this.#same("branch5x5_1", 48, 1), this.#same("branch5x5_2", 64, 5)),
      chain(
        this.#same("branch3x3dbl_1", 64, 1),
        this.#same("branch3x3dbl_2", 96, 3),
        this.#same("branch3x3dbl_3", 96, 3),
      ),
      this.#pooled(pooled),
    );
  }

  /** Halves height and width by strided convolutions beside a pool (section 5). */
  #blockB(): Layer {
    return this.#joined(
      this.#halving("branch3x3", 384),
      chain(
        this.#same("branch3x3dbl_1", 64, 1),
        this.#same("branch3x3dbl_2", 96, 3),
        this.#halving("branch3x3dbl_3", 96),
      ),
      (x) => maxPool(this.#g, x, HALVED),
    );
  }

  /** 7x7 windows as 1x7 and 7x1 (section 3.2, figure 6). */
  #blockC(inner: number): Layer {
    return this.#joined(
      this.#same("branch1x1", 192, 1),
      chain(
        this.#same("branch7x7_1", inner, 1),
        this.#same("branch7x7_2", inner, [1, 7]),
        this.#same("branch7x7_3", 192, [7, 1]),
      ),
      chain(
        this.#same("branch7x7dbl_1", inner, 1),
        this.#same("branch7x7dbl_2", inner, [7, 1]),
        this.#same("branch7x7dbl_3", inner, [1, 7]),
        this.#same("branch7x7dbl_4", inner, [7, 1]),
        this.#same("branch7x7dbl_5", 192, [1, 7]),
      ),
      this.#pooled(192),
    );
  }

  /** Halves height and width, likewise (section 5). */
  #blockD(): Layer {
    return this.#joined(
      chain(this.#same("branch3x3_1", 192, 1), this.#halving("branch3x3_2", 320)),
      chain(
        this.#same("branch7x7x3_1", 192, 1),
        this.#same("branch7x7x3_2", 192, [1, 7]),
        this.#same("branch7x7x3_3", 192, [7, 1]),
        this.#halving("branch7x7x3_4", 192),
      ),
      (x) => maxPool(this.#g, x, HALVED),
    );
  }

  /** Branches that widen at the end, for the coarsest grid (section 6, figure 7). */
  #blockE(pool: Layer): Layer {
    return this.#joined(
      this.#same("branch1x1", 320, 1),
      chain(
        this.#same("branch3x3_1", 384, 1),
        this.#joined(this.#same("branch3x3_2a", 384, [1, 3]), this.#same("branch3x3_2b", 384, [3, 1])),
      ),
      chain(
        this.#same("branch3x3dbl_1", 448, 1),
        this.#same("branch3x3dbl_2", 384, 3),
        this.#joined(this.#same("branch3x3dbl_3a", 384, [1, 3]), this.#same("branch3x3dbl_3b", 384, [3, 1])),
      ),
      this.#pooled(192, pool),
    );
  }
}

/** Layers one after the other. */
function chain(...layers: Layer[]): Layer {
  return (x) => layers.reduce((y, layer) => layer(y), x);
}
