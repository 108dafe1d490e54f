/**
 * Vector that tells the U-Net's residual blocks the noise level: embeddings of timestep, class and augmentation, added up.
 * Parameter names are those of diffusers' `UNet2DModel`.
 *
 * Shapes are `[N, 1, 1, width]`; `C_0` is the number of channels of the first level and `E` the width of the embedding.
 *
 * @module
 */
import { AUGMENTATION_DIM } from "../../kernels/draw_augmentation.ts";
import { ShapeError } from "../errors.ts";
import { embedding, fourierEmbedding, timestepEmbedding, vectorEmbedding } from "../graph/embedding_ops.ts";
import type { Graph, Initializer } from "../graph/graph.ts";
import { activate, add, silu } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { UNetConfig } from "./config.ts";
import { linear, ZEROS } from "./layers.ts";

/** Inputs of the network that are embedded. */
export interface EmbeddedInputs {
  /** N float32 timesteps, 0 (least noise) to T - 1. */
  readonly timesteps: Tensor;
  /** N uint32 class labels; present if and only if the configuration has `numClassEmbeds`. */
  readonly labels?: Tensor;
  /**
   * In training with augmentation, [N,1,1,9] float32: vectors that condition on it (Karras et al. 2022, appendix F.2). They enter the
   * time embedding linearly and are 0 without augmentation, so the network without this input is that of unaugmented images.
   */
  readonly augmentation?: Tensor;
}

/** Initial values of tables, those of `torch.nn.Embedding`. */
const NORMAL: Initializer = { kind: "normal", std: 1 };

/**
 * Records the embedding, activated for the projections of all residual blocks.
 *
 * @returns [N,1,1,E]
 * @throws {ShapeError} if labels and configuration do not fit
 */
export function timeEmbedding(
  g: Graph,
  config: UNetConfig,
  batch: number,
  { timesteps, labels, augmentation }: EmbeddedInputs,
): Tensor {
  const { numClassEmbeds } = config;
  const width = config.timeEmbeddingDim ?? 4 * config.blockOutChannels[0]!;
  const vectors = timeVectors(g, config, batch, timesteps);
  let embedded = g.scope("time_embedding", () => perceptron(g, vectors, width));
  if ((labels === undefined) !== (numClassEmbeds === null)) {
    throw new ShapeError("labels must be given exactly where the configuration has numClassEmbeds");
  }
  if (labels && numClassEmbeds !== null) {
    const numbered = config.classEmbedType === "timestep";
    const classes = g.scope("class_embedding", () => {
      if (numbered) return perceptron(g, sinusoids(g, config, batch, labels), width);
      return embedding(g, g.parameter("weight", "table", [numClassEmbeds, width], NORMAL), labels, batch);
    });
    embedded = add(g, embedded, classes);
  }
  if (augmentation) {
    const shape = [AUGMENTATION_DIM, width];
    // Training alone: the input is zero where images are not augmented, and the layer has no bias.
    const table = g.parameter("augmentation_embedding.weight", "table", shape, ZEROS, { trainingOnly: true });
    embedded = add(g, embedded, vectorEmbedding(g, table, augmentation));
  }
  // All residual blocks project the same activation, so it is computed once.
  return activate(g, embedded, config.activation);
}

/** Two layers with SiLU between them. */
function perceptron(g: Graph, x: Tensor, width: number): Tensor {
  const hidden = silu(g, linear(g, "linear_1", x, width));
  return linear(g, "linear_2", hidden, width);
}

/** Name of the table of timesteps, or of the frequencies. */
const TIME_PROJECTION = "time_proj.weight";
/** Frequencies of Fourier embeddings, as diffusers' networks draw them. */
const FREQUENCIES: Initializer = { kind: "normal", std: 16 };

/** Timesteps as vectors, [N,1,1,C_0], or twice as wide from frequencies. */
function timeVectors(g: Graph, config: UNetConfig, batch: number, timesteps: Tensor): Tensor {
  const width = config.blockOutChannels[0]!;
  switch (config.timeEmbeddingType) {
    case "learned": {
      const shape = [config.numTrainTimesteps!, width]; // checked with the configuration
      return embedding(g, g.parameter(TIME_PROJECTION, "table", shape, NORMAL), timesteps, batch);
    }
    case "fourier": {
      const fixed = { frozen: true } as const;
      const frequencies = g.parameter(TIME_PROJECTION, "vector", [width], FREQUENCIES, fixed);
      return fourierEmbedding(g, timesteps, frequencies, batch);
    }
    default:
      return sinusoids(g, config, batch, timesteps);
  }
}

/** Sinusoidal embedding (Vaswani et al. 2017, section 3.5) of numbers, [N,1,1,C_0]. */
function sinusoids(g: Graph, config: UNetConfig, batch: number, numbers: Tensor): Tensor {
  const attributes = { flipSinToCos: config.flipSinToCos, frequencyShift: config.freqShift };
  return timestepEmbedding(g, numbers, batch, config.blockOutChannels[0]!, attributes);
}
