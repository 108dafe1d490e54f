/**
 * Lowering of operations to dispatches. The table is exhaustive, so an operation without kernels does not compile.
 * Tensors are still symbolic; the memory planner derives their lifetimes from the result.
 *
 * @module
 */
import { addForward } from "../../kernels/add.ts";
import { concatForward, sliceChannels } from "../../kernels/concat.ts";
import {
  conv2dBackwardInput,
  conv2dBackwardWeight,
  conv2dForward,
  type Conv2dPass,
  conv2dScratch,
  type Conv2dShape,
} from "../../kernels/products/conv2d.ts";
import { drawBatchForward } from "../../kernels/draw_batch.ts";
import { dropoutBackward, dropoutForward } from "../../kernels/dropout.ts";
import { embeddingBackward, embeddingForward } from "../../kernels/embedding.ts";
import { groupNormBackward, groupNormForward } from "../../kernels/group_norm.ts";
import { matmul, type MatmulShape } from "../../kernels/products/matmul.ts";
import { mseBackward, mseForward, type MseShape, recordLossForward } from "../../kernels/mse.ts";
import { qSampleForward } from "../../kernels/q_sample.ts";
import { siluBackward, siluForward } from "../../kernels/silu.ts";
import { softmaxBackward, softmaxForward } from "../../kernels/softmax.ts";
import type { Launch } from "../../kernels/source.ts";
import { storedIn } from "../../kernels/storage.ts";
import { spatialSum } from "../../kernels/spatial_sum.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import { timestepEmbeddingForward } from "../../kernels/timestep_embedding.ts";
import { upsampleBackward, upsampleForward } from "../../kernels/upsample.ts";
import type {
  AllOperations,
  ConvAttributes,
  GroupNormAttributes,
  MseAttributes,
  Node,
  NodeOf,
} from "./operations.ts";
import type { SampleSums } from "./sample_sums.ts";
import { type ElementType, paddedChannels, type Tensor } from "./tensor.ts";

/** Context of {@linkcode lower}. */
export interface LowerContext {
  readonly target: KernelTarget;
  /** Creates a workspace tensor that lives only during the dispatches of one node; default float32. */
  temporary(name: string, elements: number, type?: ElementType): Tensor;
  /** Gradients that are sums over samples, which a dispatch after the last node computes for all nodes that request some. */
  readonly sampleSums: SampleSums;
}

type Lowering<K extends keyof AllOperations> = (c: LowerContext, node: NodeOf<K>) => Launch<Tensor>[];

const table: { readonly [K in keyof AllOperations]: Lowering<K> } = {
  conv2d(c, { label, attributes, in: operands, out }) {
    const shape = convShape(operands.x, out.y, attributes);
    const scratch = convScratch(c, "forward", shape, label);
    return conv2dForward(c.target, shape, { ...operands, ...out, scratch }, label);
  },
  conv2dBackwardInput(c, { label, attributes, in: operands, out }) {
    const shape = convShape(out.dx, operands.dy, attributes);
    const scratch = convScratch(c, "backward_input", shape, label);
    return conv2dBackwardInput(c.target, shape, { ...operands, ...out, scratch }, label);
  },
  conv2dBackwardWeight(c, { label, attributes, in: operands, out }) {
    const shape = convShape(operands.x, operands.dy, attributes);
    const scratch = convScratch(c, "backward_weight", shape, label);
    return conv2dBackwardWeight(c.target, shape, { ...operands, ...out, scratch }, label);
  },
  spatialSum: (_, { label, in: operands, out }) =>
    spatialSum(imageShape(operands.dy), { ...operands, ...out }, label),
  groupNorm: ({ target }, { label, attributes, in: operands, out }) =>
    groupNormForward(normShape(target, operands.x, attributes), { ...operands, ...out }, label),
  groupNormBackward({ target, sampleSums }, { label, attributes, in: operands, out: { dx, dgamma, dbeta } }) {
    const shape = normShape(target, operands.x, attributes);
    const sums = sampleSums.request(`${label}.sums`, shape.batch, [dbeta, dgamma]);
    return groupNormBackward(shape, { ...operands, dx, sums }, label);
  },
  silu: (_, { label, in: operands, out }) =>
    siluForward({ elements: out.y.elements }, { ...operands, ...out }, label),
  siluBackward: (_, { label, in: operands, out }) =>
    siluBackward({ elements: out.dx.elements }, { ...operands, ...out }, label),
  attention({ target, temporary }, { label, attributes: { heads }, in: { q, k, v }, out: { y, weights } }) {
    const { rows, length, stride, scale, image, scores } = attentionShape(q, heads);
    const s = temporary(`${label}.scores`, weights.elements, weights.type);
    const { batch, size } = image;
    const product = { batch, heads, alpha: 1 };
    return [
      ...matmul(
        target,
        {
          ...product,
          m: length,
          n: length,
          k: size,
          a: image.rows,
          b: image.columns,
          c: scores.rows,
          alpha: scale,
        },
        { a: q, b: k, c: s },
        `${label}.qk`,
      ),
      ...softmaxForward({ rows, length, stride }, { x: s, y: weights }, label),
      ...matmul(target, {
        ...product,
        m: length,
        n: size,
        k: length,
        a: scores.rows,
        b: image.rows,
        c: image.rows,
      }, {
        a: weights,
        b: v,
        c: y,
      }, `${label}.pv`),
    ];
  },
  attentionBackward(
    { target, temporary },
    { label, attributes: { heads }, in: operands, out: { dq, dk, dv } },
  ) {
    const { q, k, v, weights, dy } = operands;
    const { rows, length, stride, scale, image, scores } = attentionShape(q, heads);
    const { batch, size } = image;
    const dweights = temporary(`${label}.dweights`, weights.elements, weights.type);
    const dscores = temporary(`${label}.dscores`, weights.elements, weights.type);
    const toScores: MatmulShape = {
      ...{ batch, heads, alpha: 1, m: length, n: length, k: size },
      ...{ a: image.rows, b: image.columns, c: scores.rows },
    };
    const toImage = { batch, heads, alpha: 1, m: length, n: size, k: length, b: image.rows, c: image.rows };
    return [
      ...matmul(target, { ...toImage, a: scores.columns }, { a: weights, b: dy, c: dv }, `${label}.dv`),
      ...matmul(target, toScores, { a: dy, b: v, c: dweights }, `${label}.dweights`),
      // Applies the scale of the scores once, for both products below.
      ...softmaxBackward({ rows, length, stride, scale }, { y: weights, dy: dweights, dx: dscores }, label),
      ...matmul(target, { ...toImage, a: scores.rows }, { a: dscores, b: k, c: dq }, `${label}.dq`),
      ...matmul(target, { ...toImage, a: scores.columns }, { a: dscores, b: q, c: dk }, `${label}.dk`),
    ];
  },
  upsample: (_, { label, in: operands, out }) =>
    upsampleForward(planeShape(operands.x), { ...operands, ...out }, label),
  upsampleBackward: (_, { label, in: operands, out }) =>
    upsampleBackward(planeShape(out.dx), { ...operands, ...out }, label),
  concat(_, { label, in: { a, b }, out }) {
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
  dropout: (_, { label, attributes, in: { x, stepState }, out: { y } }) =>
    dropoutForward({ elements: y.elements, ...attributes }, { x, step_state: stepState, y }, label),
  dropoutBackward: (_, { label, attributes, in: { dy, stepState, addend }, out: { dx } }) =>
    dropoutBackward(
      { elements: dx.elements, ...attributes },
      { dy, step_state: stepState, addend, dx },
      label,
    ),
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
  drawBatch(_, { label, attributes, in: { stepState, order, imageLabels }, out }) {
    const buffers = {
      ...{ step_state: stepState, order, labels: imageLabels },
      ...{ draws: out.draws, timestep: out.timesteps, label: out.labels },
    };
    return drawBatchForward({ batch: out.draws.elements, ...attributes }, buffers, label);
  },
  qSample(_, { label, in: { stepState, images, draws, schedule }, out: { xt, targets } }) {
    const { batch, height, width, channels } = planeShape(xt);
    const buffers = { step_state: stepState, draws, schedule, x_t: xt, targets };
    let chunkFirst = 0;
    return images.flatMap((chunk) => {
      const chunkCount = chunk.elements / (height * width * channels);
      const shape = { batch, height, width, channels, chunkFirst, chunkCount };
      chunkFirst += chunkCount;
      return qSampleForward(shape, { ...buffers, images: chunk }, label);
    });
  },
  mse: (_, { label, attributes, in: { stepState, ...operands }, out: { y } }) =>
    mseForward(lossShape(operands.prediction, attributes), {
      ...operands,
      step_state: stepState,
      loss_per_sample: y,
    }, label),
  mseBackward: (_, { label, attributes, in: { stepState, lossScale, ...operands }, out: { dx } }) =>
    mseBackward(lossShape(operands.prediction, attributes), {
      ...operands,
      step_state: stepState,
      loss_scale: lossScale,
      gradient: dx,
    }, label),
  recordLoss: (_, { label, in: { stepState, loss }, out: { log } }) =>
    recordLossForward(loss.shape[3], { step_state: stepState, loss_per_sample: loss, train_log: log }, label),
};

/** Lowers a node to its dispatches, in order. */
export function lower(context: LowerContext, node: Node): Launch<Tensor>[] {
  const lowering = table[node.kind] as Lowering<keyof AllOperations>;
  return storedIn(context.target.half, lowering(context, node as NodeOf<keyof AllOperations>));
}

function convShape(x: Tensor, y: Tensor, { kernel, stride, padding }: ConvAttributes): Conv2dShape {
  const [batch, inHeight, inWidth, inChannels] = x.shape;
  const [, outHeight, outWidth, outChannels] = y.shape;
  const offsets = { padTop: padding, padLeft: padding };
  return {
    batch,
    inHeight,
    inWidth,
    inChannels,
    outHeight,
    outWidth,
    outChannels,
    kernel,
    stride,
    ...offsets,
  };
}

function convScratch(c: LowerContext, pass: Conv2dPass, shape: Conv2dShape, label: string): Tensor[] {
  return conv2dScratch(c.target, pass, shape).map((elements, i) =>
    c.temporary(`${label}.scratch${i}`, elements)
  );
}

function imageShape(x: Tensor): { batch: number; spatial: number; channels: number } {
  const [batch, height, width, channels] = x.shape;
  return { batch, spatial: height * width, channels };
}

function normShape({ path }: KernelTarget, x: Tensor, { groups, eps, silu }: GroupNormAttributes) {
  return { ...imageShape(x), groups, eps, silu, path };
}

function planeShape(x: Tensor): { batch: number; height: number; width: number; channels: number } {
  const [batch, height, width, channels] = x.shape;
  return { batch, height, width, channels };
}

function lossShape(prediction: Tensor, { gradientScale }: MseAttributes): MseShape {
  const { batch, spatial, channels } = imageShape(prediction);
  return { batch, pixels: spatial, channels, gradientScale };
}

function tableShape(table: Tensor, y: Tensor): { batch: number; dim: number; rows: number } {
  return { batch: y.shape[0], dim: y.shape[3], rows: table.shape[0] };
}

/** Strides of attention operands: `rows` reads a matrix row by row, `columns` reads it transposed. */
function attentionShape(q: Tensor, heads: number) {
  const [batch, height, width, channels] = q.shape;
  const length = height * width;
  const size = channels / heads;
  const stride = paddedChannels(length);
  // A head is a slice of the channels; the score matrices of all heads are contiguous.
  const slice = {
    rowStride: paddedChannels(channels),
    batchStride: length * paddedChannels(channels),
    headStride: size,
  };
  const matrix = { rowStride: stride, batchStride: heads * length * stride, headStride: length * stride };
  return {
    rows: batch * heads * length,
    length,
    stride,
    scale: 1 / Math.sqrt(size),
    image: { batch, size, rows: { ...slice, transposed: false }, columns: { ...slice, transposed: true } },
    scores: { rows: { ...matrix, transposed: false }, columns: { ...matrix, transposed: true } },
  };
}
