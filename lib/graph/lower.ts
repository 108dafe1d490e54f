/**
 * Lowering of operations to dispatches. The table is exhaustive, so an operation without kernels does not compile.
 * Tensors are still symbolic; the memory planner derives their lifetimes from the result.
 *
 * @module
 */
import { activationBackward, activationForward } from "../../kernels/activation.ts";
import { addForward } from "../../kernels/add.ts";
import { augmentForward } from "../../kernels/augment.ts";
import {
  attentionBackward,
  attentionForward,
  type AttentionShape,
  scoreRows,
} from "../../kernels/attention.ts";
import { averagePoolBackward } from "../../kernels/average_pool_gradient.ts";
import { concatForward, sliceChannels } from "../../kernels/concat.ts";
import {
  conv2dBackward,
  conv2dBackwardScratch,
  conv2dForward,
  conv2dForwardScratch,
  type Conv2dShape,
  conv2dSumRows,
} from "../../kernels/products/conv2d.ts";
import {
  crossEntropyBackward,
  crossEntropyForward,
  type CrossEntropyShape,
} from "../../kernels/cross_entropy.ts";
import { drawAugmentationForward } from "../../kernels/draw_augmentation.ts";
import { drawBatchForward } from "../../kernels/draw_batch.ts";
import { embeddingBackward, embeddingForward } from "../../kernels/embedding.ts";
import { globalAveragePoolBackward, globalAveragePoolForward } from "../../kernels/global_average_pool.ts";
import { groupNormBackward, groupNormForward } from "../../kernels/group_norm.ts";
import { hybridLossBackward, hybridLossForward } from "../../kernels/hybrid_loss.ts";
import { lossBackward, lossForward, type LossShape, recordLossForward } from "../../kernels/loss.ts";
import { qSampleForward } from "../../kernels/q_sample.ts";
import { rescaleForward } from "../../kernels/rescale.ts";
import { scaleShiftBackward, scaleShiftForward, type ScaleShiftShape } from "../../kernels/scale_shift.ts";
import { selfConditionForward } from "../../kernels/self_condition.ts";
import { averagePoolForward, maxPoolForward, type PoolShape } from "../../kernels/pool.ts";
import { resizeImagesForward } from "../../kernels/resize_images.ts";
import type { Launch } from "../../kernels/source.ts";
import { storedIn } from "../../kernels/storage.ts";
import type { Choose, KernelTarget } from "../../kernels/target.ts";
import { timestepEmbeddingForward } from "../../kernels/timestep_embedding.ts";
import { upsampleBackward, upsampleForward } from "../../kernels/upsample.ts";
import { vectorEmbeddingBackward, vectorEmbeddingForward } from "../../kernels/vector_embedding.ts";
import {
  type AllOperations,
  bothAxes,
  type Conv2dAttributes,
  type ConvAttributes,
  type CrossEntropyAttributes,
  type GroupNormAttributes,
  inputsOf,
  type LossAttributes,
  type Node,
  type NodeOf,
  outputsOf,
  type PoolAttributes,
  type ScaleShiftAttributes,
} from "./operations.ts";
import type { SampleSums } from "./sample_sums.ts";
import type { ElementType, Tensor } from "./tensor.ts";
import type { Views } from "./views.ts";

/** Context of {@linkcode lower}. */
export interface LowerContext {
  readonly target: KernelTarget;
  /** Creates a workspace tensor that lives only during the dispatches of one node; default float32. */
  temporary(name: string, elements: number, type?: ElementType): Tensor;
  /** Tensors that are not stored. */
  readonly views: Views;
  /** Gradients that are sums over samples, which a dispatch after the last node computes for all nodes that request some. */
  readonly sampleSums: SampleSums;
}

type Lowering<K extends keyof AllOperations> = (c: LowerContext, node: NodeOf<K>) => Launch<Tensor>[];

const table: { readonly [K in keyof AllOperations]: Lowering<K> } = {
  conv2d(c, { label, attributes, in: { x, rowBias, ...others }, out }) {
    const operands = { ...others, ...stored(c, x) };
    const shape = { ...convShape(x, out.y, attributes), ...viewOf(c, x) };
    const scratch = convScratch(c, conv2dForwardScratch(c.target, shape), label);
    const ofRows = rowBiasOf(rowBias, attributes);
    return conv2dForward(c.target, shape, { ...operands, ...out, rowBias: ofRows, scratch }, label);
  },
  conv2dBackward(c, { label, attributes, in: { x, ...others }, out: { db, rowBias, ...results } }) {
    const operands = { ...others, ...stored(c, x) };
    const shape = { ...convShape(x, operands.dy, attributes), ...viewOf(c, x) };
    const pooling = results.dx && c.views.pooled.get(results.dx);
    const out = pooling ? { ...results, dx: pooling.out.dx, addend: pooling.in.addend } : results;
    const scratch = convScratch(c, conv2dBackwardScratch(c.target, shape, out.dx !== undefined), label);
    const sums = c.sampleSums.request(`${label}.sums`, conv2dSumRows(c.target, shape), [db]);
    const ofRows = rowBiasOf(rowBias, attributes);
    return conv2dBackward(c.target, shape, { ...operands, ...out, sums, rowBias: ofRows, scratch }, label);
  },
  groupNorm(c, { label, attributes, in: { x, affine, gamma = affine!, beta = affine!, ...operands }, out }) {
    const perSample = affine !== undefined; // if not, there are the other two
    const shape = {
      ...{ ...normShape(c.target, x, attributes), perSample },
      first: c.views.joined.get(x)?.a.shape[3],
    };
    return groupNormForward(shape, { ...operands, gamma, beta, ...stored(c, x), ...out }, label);
  },
  groupNormBackward(
    c,
    { label, attributes, in: { x, ...operands }, out: { dgamma, dbeta, daffine, ...out } },
  ) {
    const shape = { ...normShape(c.target, x, attributes), first: out.dxSecond && out.dx.shape[3] };
    // A gradient for each sample is the contributions themselves.
    const sums = daffine ?? c.sampleSums.request(`${label}.sums`, shape.batch, [dbeta!, dgamma!]);
    return groupNormBackward(shape, { ...operands, ...stored(c, x), ...out, sums }, label);
  },
  scaleShift: (_, { label, attributes, in: operands, out: { y } }) =>
    scaleShiftForward(modulationShape(operands.rows, attributes), { ...operands, affine: y }, label),
  scaleShiftBackward: (_, { label, attributes, in: { dy, ...operands }, out }) =>
    scaleShiftBackward(
      modulationShape(operands.rows, attributes),
      { ...operands, daffine: dy, ...out },
      label,
    ),
  activation: (_, { label, attributes, in: operands, out }) =>
    activationForward({ elements: out.y.elements, ...attributes }, { ...operands, ...out }, label),
  activationBackward: (_, { label, attributes, in: operands, out }) =>
    activationBackward({ elements: out.dx.elements, ...attributes }, { ...operands, ...out }, label),
  attention({ target, temporary }, { label, attributes: { heads }, in: operands, out }) {
    const shape = attentionShape(out.y, heads);
    const scores = temporary(`${label}.scores`, out.weights.elements, out.weights.type);
    return attentionForward(target, shape, { ...operands, ...out, scores }, label);
  },
  attentionBackward({ target, temporary }, { label, attributes: { heads }, in: operands, out }) {
    const shape = attentionShape(operands.y, heads);
    const { elements, type } = operands.weights;
    const dscores = temporary(`${label}.dscores`, elements, type);
    const dots = temporary(`${label}.dots`, scoreRows(shape));
    return attentionBackward(target, shape, { ...operands, ...out, dscores, dots }, label);
  },
  averagePoolBackward: (_, { label, in: operands, out }) =>
    averagePoolBackward(planeShape(operands.dy), { ...operands, ...out }, label),
  upsample: ({ views }, { label, in: operands, out }) =>
    views.upsampled.has(out.y) ? [] : upsampleForward(planeShape(operands.x), { ...operands, ...out }, label),
  upsampleBackward: ({ views }, { label, in: operands, out }) =>
    views.pooled.has(operands.dy) ? [] : upsampleBackward(planeShape(out.dx), { ...operands, ...out }, label),
  maxPool: (_, { label, attributes, in: { x }, out: { y } }) =>
    maxPoolForward(poolShape(x, y, attributes), { x, y }, label),
  averagePool: (_, { label, attributes, in: { x }, out: { y } }) =>
    averagePoolForward(poolShape(x, y, attributes), { x, y }, label),
  resizeImages(_, { label, attributes, in: { images }, out: { y } }) {
    const [batch, inHeight, inWidth] = images.shape;
    const [, outHeight, outWidth] = y.shape;
    const shape = { batch, inHeight, inWidth, outHeight, outWidth, ...attributes };
    return resizeImagesForward(shape, { images, y }, label);
  },
  concat({ views }, { label, in: { a, b }, out }) {
    if (views.joined.has(out.y)) return [];
    const [batch, height, width, channels] = a.shape;
    return concatForward(
      { rows: batch * height * width, a: channels, b: b.shape[3] },
      { a, b, ...out },
      label,
    );
  },
  sliceChannels(_, { label, attributes: { first }, in: operands, out }) {
    const [batch, height, width, channels] = operands.dy.shape;
    const shape = { rows: batch * height * width, channels, first, count: out.dx.shape[3] };
    return sliceChannels(shape, { ...operands, ...out }, label);
  },
  add: (_, { label, in: operands, out }) =>
    addForward({ elements: out.y.elements }, { ...operands, ...out }, label),
  rescale: (_, { label, attributes, in: operands, out }) =>
    rescaleForward({ ...rowShape(out.y), ...attributes }, { ...operands, ...out }, label),
  rescaleBackward: (_, { label, attributes: { factor }, in: { dy, addend }, out: { dx } }) =>
    rescaleForward({ ...rowShape(dx), factor, offset: 0 }, { x: dy, addend, y: dx }, label),
  timestepEmbedding(_, { label, attributes, in: operands, out }) {
    const [batch, , , dim] = out.y.shape;
    const shape = {
      batch,
      dim,
      flipSinToCos: attributes.flipSinToCos,
      downscaleFreqShift: attributes.frequencyShift,
    };
    return timestepEmbeddingForward(shape, { ...operands, ...out }, label);
  },
  embedding: (_, { label, in: operands, out }) =>
    embeddingForward(tableShape(operands.table, out.y), { ...operands, ...out }, label),
  embeddingBackward: (_, { label, in: operands, out }) =>
    embeddingBackward(tableShape(out.dtable, operands.dy), { ...operands, ...out }, label),
  vectorEmbedding: (_, { label, in: operands, out }) =>
    vectorEmbeddingForward(tableShape(operands.table, out.y), { ...operands, ...out }, label),
  vectorEmbeddingBackward: (_, { label, in: operands, out }) =>
    vectorEmbeddingBackward(tableShape(out.dtable, operands.dy), { ...operands, ...out }, label),
  drawBatch(_, { label, attributes, in: { stepState, order, imageLabels, schedule }, out }) {
    const buffers = {
      ...{ step_state: stepState, order, labels: imageLabels, schedule },
      ...{ draws: out.draws, timestep: out.timesteps, label: out.labels },
    };
    return drawBatchForward({ batch: out.draws.elements, ...attributes }, buffers, label);
  },
  drawAugmentation: (_, { label, attributes, in: { stepState, draws }, out }) =>
    drawAugmentationForward(
      { batch: draws.elements, ...attributes },
      { step_state: stepState, draws, ...out },
      label,
    ),
  qSample(_, { label, in: { stepState, images, draws, schedule, maps }, out: { xt, targets } }) {
    const { batch, height, width, channels } = planeShape(xt);
    const buffers = { step_state: stepState, draws, schedule, maps, x_t: xt, targets };
    return chunksOf(images, height * width * channels).flatMap(({ chunk, chunkFirst, chunkCount }) => {
      const shape = { batch, height, width, channels, chunkFirst, chunkCount };
      return qSampleForward(shape, { ...buffers, images: chunk }, label);
    });
  },
  selfCondition: (_, { label, attributes, in: { stepState, xt, ...operands }, out }) =>
    selfConditionForward(
      { ...planeShape(xt), outChannels: operands.prediction.shape[3], ...attributes },
      { step_state: stepState, x_t: xt, ...operands, ...out },
      label,
    ),
  trainingLoss: (_, { label, attributes, in: { stepState, ...operands }, out: { y } }) =>
    lossForward(lossShape(operands.prediction, attributes), {
      ...operands,
      step_state: stepState,
      loss_per_sample: y,
    }, label),
  trainingLossBackward: (_, { label, attributes, in: { stepState, lossScale, ...operands }, out: { dx } }) =>
    lossBackward(lossShape(operands.prediction, attributes), {
      ...operands,
      step_state: stepState,
      loss_scale: lossScale,
      gradient: dx,
    }, label),
  augment(_, { label, attributes, in: { images, ...operands }, out }) {
    const { batch, height, width, channels } = planeShape(out.x);
    const buffers = {
      ...{ step_state: operands.stepState, order: operands.order, image_labels: operands.imageLabels },
      ...out,
    };
    return chunksOf(images, height * width * channels).flatMap(({ chunk, chunkFirst, chunkCount }) => {
      const shape = { batch, height, width, channels, chunkFirst, chunkCount, ...attributes };
      return augmentForward(shape, { ...buffers, images: chunk }, label);
    });
  },
  globalAveragePool: (_, { label, in: operands, out }) =>
    globalAveragePoolForward(imageShape(operands.x), { ...operands, ...out }, label),
  globalAveragePoolBackward: (_, { label, in: operands, out }) =>
    globalAveragePoolBackward(imageShape(out.dx), { ...operands, ...out }, label),
  crossEntropy: (_, { label, attributes, in: { stepState, ...operands }, out: { y } }) =>
    crossEntropyForward(
      classShape(operands.logits, attributes),
      { ...operands, step_state: stepState, loss_per_sample: y },
      label,
    ),
  crossEntropyBackward: (_, { label, attributes, in: { stepState, lossScale, ...operands }, out: { dx } }) =>
    crossEntropyBackward(classShape(operands.logits, attributes), {
      ...operands,
      step_state: stepState,
      loss_scale: lossScale,
      gradient: dx,
    }, label),
  hybridLoss: (_, { label, attributes, in: { stepState, xt, ...operands }, out: { y } }) =>
    hybridLossForward({ ...pixelShape(xt), ...attributes }, {
      ...operands,
      step_state: stepState,
      x_t: xt,
      loss_per_sample: y,
    }, label),
  hybridLossBackward: (
    _,
    { label, attributes, in: { stepState, xt, lossScale, ...operands }, out: { dx } },
  ) =>
    hybridLossBackward({ ...pixelShape(xt), ...attributes }, {
      ...operands,
      step_state: stepState,
      x_t: xt,
      loss_scale: lossScale,
      gradient: dx,
    }, label),
  recordLoss: (_, { label, in: { stepState, loss }, out: { log } }) =>
    recordLossForward(loss.shape[3], { step_state: stepState, loss_per_sample: loss, train_log: log }, label),
};

/** Lowers a node to its dispatches, in order. */
export function lower(context: LowerContext, node: Node): Launch<Tensor>[] {
  const lowering = table[node.kind] as Lowering<keyof AllOperations>;
  const half = [...inputsOf(node), ...outputsOf(node)].some(({ type }) => type === "float16");
  const target = half ? halfTarget(context.target) : context.target;
  return storedIn(half, lowering({ ...context, target }, node as NodeOf<keyof AllOperations>));
}

/** Target for nodes with tensors in float16, with tuning choices of its own. */
function halfTarget({ choose, ...target }: KernelTarget): KernelTarget {
  const chooseHalf: Choose = (key, candidates) => choose!(`float16 ${key}`, candidates);
  return { ...target, half: true, ...(choose ? { choose: chooseHalf } : {}) };
}

/** Stored tensors of an operand: itself, the two that it concatenates, or the one that it upsamples. */
function stored({ views: { joined, upsampled } }: LowerContext, x: Tensor): { x: Tensor; xSecond?: Tensor } {
  const parts = joined.get(x);
  return parts ? { x: parts.a, xSecond: parts.b } : { x: upsampled.get(x) ?? x };
}

function viewOf(
  { views: { joined, upsampled } }: LowerContext,
  x: Tensor,
): Pick<Conv2dShape, "firstChannels" | "upsampled"> {
  const parts = joined.get(x);
  if (parts) return { firstChannels: parts.a.shape[3] };
  return upsampled.has(x) ? { upsampled: true } : {};
}

function convShape(x: Tensor, y: Tensor, { kernel, stride, padding, relu }: ConvAttributes): Conv2dShape {
  const [batch, inHeight, inWidth, inChannels] = x.shape;
  const [, outHeight, outWidth, outChannels] = y.shape;
  const [kernelHeight, kernelWidth] = bothAxes(kernel);
  const [padTop, padLeft] = bothAxes(padding);
  return {
    batch,
    inHeight,
    inWidth,
    inChannels,
    outHeight,
    outWidth,
    outChannels,
    kernelHeight,
    kernelWidth,
    stride,
    padTop,
    padLeft,
    ...relu ? { relu } : {},
  };
}

function rowBiasOf(rowBias: Tensor | undefined, { rowBiasFirst }: Conv2dAttributes) {
  return rowBias && { of: rowBias, first: rowBiasFirst, width: rowBias.shape[3] };
}

function convScratch(c: LowerContext, sizes: readonly number[], label: string): Tensor[] {
  return sizes.map((elements, i) => c.temporary(`${label}.scratch${i}`, elements));
}

function poolShape(x: Tensor, y: Tensor, { window, stride, padding }: PoolAttributes): PoolShape {
  const [batch, inHeight, inWidth, channels] = x.shape;
  const [, outHeight, outWidth] = y.shape;
  const [windowHeight, windowWidth] = bothAxes(window);
  const [padTop, padLeft] = bothAxes(padding);
  return {
    ...{ batch, inHeight, inWidth, outHeight, outWidth, channels },
    ...{ windowHeight, windowWidth, stride, padTop, padLeft },
  };
}

function imageShape(x: Tensor): { batch: number; spatial: number; channels: number } {
  const [batch, height, width, channels] = x.shape;
  return { batch, spatial: height * width, channels };
}

function rowShape(x: Tensor): { rows: number; channels: number } {
  const { batch, spatial, channels } = imageShape(x);
  return { rows: batch * spatial, channels };
}

function normShape({ path }: KernelTarget, x: Tensor, attributes: GroupNormAttributes) {
  return { ...imageShape(x), ...attributes, path };
}

function modulationShape(rows: Tensor, attributes: ScaleShiftAttributes): ScaleShiftShape {
  return { batch: rows.shape[0], width: rows.shape[3], ...attributes };
}

function planeShape(x: Tensor): { batch: number; height: number; width: number; channels: number } {
  const [batch, height, width, channels] = x.shape;
  return { batch, height, width, channels };
}

/** Chunks of a data set with the index of their first image and their number of images. */
function chunksOf(images: readonly Tensor[], imageBytes: number) {
  let next = 0;
  return images.map((chunk) => {
    const chunkFirst = next;
    const chunkCount = chunk.elements / imageBytes;
    next += chunkCount;
    return { chunk, chunkFirst, chunkCount };
  });
}

function classShape(logits: Tensor, attributes: CrossEntropyAttributes): CrossEntropyShape {
  const { batch, channels: classes } = imageShape(logits);
  return { batch, classes, ...attributes };
}

function lossShape(prediction: Tensor, attributes: LossAttributes): LossShape {
  return { ...pixelShape(prediction), ...attributes };
}

function pixelShape(x: Tensor): { batch: number; pixels: number; channels: number } {
  const { batch, spatial, channels } = imageShape(x);
  return { batch, pixels: spatial, channels };
}

function tableShape(table: Tensor, y: Tensor): { batch: number; dim: number; rows: number } {
  return { batch: y.shape[0], dim: y.shape[3], rows: table.shape[0] };
}

function attentionShape(y: Tensor, heads: number): AttentionShape {
  const { batch, spatial, channels } = imageShape(y);
  return { batch, length: spatial, channels, heads };
}
