/**
 * Launchers of `embedding.wgsl`: embedding lookup by label, and its gradient.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { embeddingKernel } from "./sources.ts";

/** Sizes of an embedding table and a batch. */
export interface EmbeddingShape {
  readonly batch: number;
  /** Embedding dimension, without padding. */
  readonly dim: number;
  /** Rows of the table: number of labels. */
  readonly rows: number;
  /** Labels are float32, as timesteps are, and rounded. Default false. */
  readonly floatLabels?: boolean;
}

const WORKGROUP = 64;

/**
 * `y[n] = table[labels[n]]`.
 *
 * @param buffers `table` [rows, Dp]; `labels` [N] u32 or float32, below `rows`: the caller validates, kernels clamp to the last row;
 *   `y` [N, 1, 1, Dp]
 */
export function embeddingForward<B>(
  shape: EmbeddingShape,
  { table, labels, y }: { table: B; labels: B; y: B },
  label = "embedding",
): Launch<B>[] {
  const params = paramsOf(shape);
  const workgroups = grid1d(params.batch * params.columns, WORKGROUP);
  const constants = constantsOf(shape);
  return [launch(embeddingKernel, "forward", params, { table, labels, y }, workgroups, { constants, label })];
}

/**
 * Gradient of {@linkcode embeddingForward}: each row of `dtable` is the sum of `dy` over the samples with its label, in
 * batch order, and zero if there are none.
 *
 * @param buffers `labels` as before; `dy` [N, 1, 1, Dp]; `dtable` [rows, Dp]
 */
export function embeddingBackward<B>(
  shape: EmbeddingShape,
  { labels, dy, dtable }: { labels: B; dy: B; dtable: B },
  label = "embedding gradient",
): Launch<B>[] {
  const params = paramsOf(shape);
  const workgroups = grid1d(params.rows * params.columns, WORKGROUP);
  const constants = constantsOf(shape);
  return [
    launch(embeddingKernel, "backward", params, { labels, dy, dtable }, workgroups, { constants, label }),
  ];
}

function paramsOf({ batch, dim, rows }: EmbeddingShape) {
  return { batch, rows, columns: Math.ceil(dim / 4) };
}

function constantsOf({ floatLabels = false }: EmbeddingShape) {
  return { float_labels: Number(floatLabels) };
}
