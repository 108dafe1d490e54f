/**
 * Launchers of `vector_embedding.wgsl`: a linear layer of short vectors without bias, and its gradient.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { vectorEmbeddingKernel } from "./sources.ts";

/** Sizes of a batch of vectors and of the table that embeds them. */
export interface VectorEmbeddingShape {
  readonly batch: number;
  /** Length of the vectors, without padding: rows of the table. */
  readonly rows: number;
  /** Embedding dimension, without padding. */
  readonly dim: number;
}

const WORKGROUP = 64;

/**
 * `y[n] = sum over k of vectors[n, k] table[k]`.
 *
 * @param buffers `table` [K, Dp]; `vectors` [N, Kp] float32; `y` [N, 1, 1, Dp]
 */
export function vectorEmbeddingForward<B>(
  shape: VectorEmbeddingShape,
  { table, vectors, y }: { table: B; vectors: B; y: B },
  label = "vector embedding",
): Launch<B>[] {
  const params = paramsOf(shape);
  const workgroups = grid1d(params.batch * params.columns, WORKGROUP);
  return [launch(vectorEmbeddingKernel, "forward", params, { table, vectors, y }, workgroups, { label })];
}

/**
 * Gradient of {@linkcode vectorEmbeddingForward} with respect to the table, summed in batch order.
 *
 * @param buffers `vectors` [N, Kp] float32; `dy` [N, 1, 1, Dp]; `dtable` [K, Dp]
 */
export function vectorEmbeddingBackward<B>(
  shape: VectorEmbeddingShape,
  { vectors, dy, dtable }: { vectors: B; dy: B; dtable: B },
  label = "vector embedding gradient",
): Launch<B>[] {
  const params = paramsOf(shape);
  const workgroups = grid1d(params.rows * params.columns, WORKGROUP);
  return [launch(vectorEmbeddingKernel, "backward", params, { vectors, dy, dtable }, workgroups, { label })];
}

function paramsOf({ batch, rows, dim }: VectorEmbeddingShape) {
  return { batch, rows, stride: 4 * Math.ceil(rows / 4), columns: Math.ceil(dim / 4) };
}
