/**
 * Operations that turn timesteps, labels and short vectors into vectors for the network, as in ops.ts.
 *
 * @module
 */
import { ShapeError } from "../errors.ts";
import type { TimestepEmbeddingAttributes } from "./attributes.ts";
import { expectShape, expectType } from "./expect.ts";
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Sinusoidal embedding of timesteps (Vaswani et al. 2017 as used by Ho et al. 2020).
 *
 * @param timesteps [1,1,1,N]: N consecutive float32 or uint32 values
 * @param dimension length D of the embedding, even
 * @returns [N,1,1,D]
 */
export function timestepEmbedding(
  g: Graph,
  timesteps: Tensor,
  batch: number,
  dimension: number,
  attributes: TimestepEmbeddingAttributes,
): Tensor {
  const label = g.label("timestepEmbedding");
  expectShape(label, "timesteps", timesteps, [1, 1, 1, batch]);
  expectType(label, "timesteps", timesteps, "float32", "uint32");
  if (dimension % 2 !== 0) throw new ShapeError(`${label}: dimension must be even, got ${dimension}`);
  const y = g.tensor(label, [batch, 1, 1, dimension], "activation", false);
  g.record({ kind: "timestepEmbedding", label, in: { timesteps }, out: { y }, attributes });
  return y;
}

/**
 * Embedding of timesteps by fixed frequencies: `y[n] = [sin(2 pi f ln t_n), cos(2 pi f ln t_n)]`.
 *
 * @param timesteps [1,1,1,N]: N consecutive float32 values above 0
 * @param frequencies [1,1,1,K], a parameter that is not trained
 * @returns [N,1,1,2K]
 */
export function fourierEmbedding(g: Graph, timesteps: Tensor, frequencies: Tensor, batch: number): Tensor {
  const label = g.label("fourierEmbedding");
  const count = frequencies.shape[3];
  expectShape(label, "timesteps", timesteps, [1, 1, 1, batch]);
  expectType(label, "timesteps", timesteps, "float32");
  expectShape(label, "frequencies", frequencies, [1, 1, 1, count]);
  const y = g.tensor(label, [batch, 1, 1, 2 * count], "activation", false);
  g.record({ kind: "fourierEmbedding", label, in: { timesteps, frequencies }, out: { y }, attributes: {} });
  return y;
}

/**
 * Embedding lookup: `y[n] = table[labels[n]]`.
 *
 * @param table [rows,1,1,D]
 * @param labels [1,1,1,N]: N consecutive uint32 or whole float32 values below the table's row count
 * @returns [N,1,1,D]
 */
export function embedding(g: Graph, table: Tensor, labels: Tensor, batch: number): Tensor {
  const label = g.label("embedding");
  expectShape(label, "labels", labels, [1, 1, 1, batch]);
  expectType(label, "labels", labels, "uint32", "float32");
  const y = g.tensor(label, [batch, 1, 1, table.shape[3]], "activation", true);
  g.record({ kind: "embedding", label, in: { table, labels }, out: { y }, attributes: {} });
  return y;
}

/**
 * Linear layer without bias, for vectors of a few numbers: `y[n] = sum over k of vectors[n, k] table[k]`.
 *
 * @param table [K,1,1,D]
 * @param vectors [N,1,1,K] float32
 * @returns [N,1,1,D]
 */
export function vectorEmbedding(g: Graph, table: Tensor, vectors: Tensor): Tensor {
  const label = g.label("embedding");
  const [batch] = vectors.shape;
  expectShape(label, "vectors", vectors, [batch, 1, 1, table.shape[0]]);
  expectType(label, "vectors", vectors, "float32");
  const y = g.tensor(label, [batch, 1, 1, table.shape[3]], "activation", true);
  g.record({ kind: "vectorEmbedding", label, in: { table, vectors }, out: { y }, attributes: {} });
  return y;
}
