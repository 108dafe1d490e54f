/**
 * Lowering of embeddings of timesteps, classes and vectors.
 *
 * @module
 */
import { embeddingBackward, embeddingForward } from "../../../kernels/embedding.ts";
import { fourierEmbeddingForward } from "../../../kernels/fourier_embedding.ts";
import { timestepEmbeddingForward } from "../../../kernels/timestep_embedding.ts";
import { vectorEmbeddingBackward, vectorEmbeddingForward } from "../../../kernels/vector_embedding.ts";
import type { Tensor } from "../tensor.ts";
import type { LoweringTable } from "./context.ts";

/** Embeddings and the gradients of their tables. */
export const embeddings: Pick<
  LoweringTable,
  | "timestepEmbedding"
  | "fourierEmbedding"
  | "embedding"
  | "embeddingBackward"
  | "vectorEmbedding"
  | "vectorEmbeddingBackward"
> = {
  timestepEmbedding(_, { label, attributes, in: operands, out }) {
    const [batch, , , dim] = out.y.shape;
    const shape = {
      batch,
      dim,
      flipSinToCos: attributes.flipSinToCos,
      downscaleFreqShift: attributes.frequencyShift,
      wholeNumbers: operands.timesteps.type === "uint32",
    };
    return timestepEmbeddingForward(shape, { ...operands, ...out }, label);
  },
  fourierEmbedding: (_, { label, in: operands, out }) =>
    fourierEmbeddingForward(
      { batch: out.y.shape[0], frequencies: operands.frequencies.shape[3] },
      { ...operands, ...out },
      label,
    ),
  embedding: (_, { label, in: operands, out }) =>
    embeddingForward(
      { ...tableShape(operands.table, out.y), floatLabels: operands.labels.type === "float32" },
      { ...operands, ...out },
      label,
    ),
  embeddingBackward: (_, { label, in: operands, out }) =>
    embeddingBackward(
      { ...tableShape(out.dtable, operands.dy), floatLabels: operands.labels.type === "float32" },
      { ...operands, ...out },
      label,
    ),
  vectorEmbedding: (_, { label, in: operands, out }) =>
    vectorEmbeddingForward(tableShape(operands.table, out.y), { ...operands, ...out }, label),
  vectorEmbeddingBackward: (_, { label, in: operands, out }) =>
    vectorEmbeddingBackward(tableShape(out.dtable, operands.dy), { ...operands, ...out }, label),
};

function tableShape(table: Tensor, y: Tensor): { batch: number; dim: number; rows: number } {
  return { batch: y.shape[0], dim: y.shape[3], rows: table.shape[0] };
}
