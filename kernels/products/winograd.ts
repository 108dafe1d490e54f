/**
 * Launchers of Winograd convolutions F(m x m, 3 x 3), stride 1, padding 1: batched products between transforms into and out
 * of tiles (see winograd_source.ts).
 *
 * Tiles are processed in slices, which bounds the size of intermediate results. Products count the operations of the direct
 * convolution and transforms count none, so that rates of all algorithms are comparable.
 *
 * @module
 */
import {
  type Conv2dBackwardInputBuffers,
  type Conv2dBackwardWeightBuffers,
  type Conv2dForwardBuffers,
  type Conv2dPass,
  type Conv2dShape,
  flopsOf,
  type RowBiasBuffer,
} from "./conv2d_shape.ts";
import { cachedKernel, ENOUGH_TILES, quads } from "./gemm.ts";
import { matmul, type MatmulBuffers, type MatmulShape } from "./matmul.ts";
import { range } from "../range.ts";
import { grid1d, type Launch, launch } from "../source.ts";
import type { KernelTarget } from "../target.ts";
import type { WinogradTile } from "./winograd_matrices.ts";
import {
  GROUP_CHANNELS,
  imageTransform,
  outputTransform,
  pixelSums,
  SUM_ROWS,
  TRANSFORM_WIDTHS,
  weightGradientTransform,
  weightTransform,
  type WinogradTransform,
} from "./winograd_source.ts";

/** True if Winograd applies to a convolution: 3x3, stride 1, padding 1. */
export function winogradApplies({ kernel, stride, padTop, padLeft }: Conv2dShape): boolean {
  return kernel === 3 && stride === 1 && padTop === 1 && padLeft === 1;
}

/** Tiles per image. */
export function winogradTiles(tile: WinogradTile, { inHeight, inWidth }: Conv2dShape): number {
  return Math.ceil(inHeight / tile) * Math.ceil(inWidth / tile);
}

/** Tiling of a convolution. */
export interface Winograd {
  readonly tile: WinogradTile;
  /** Limit on transformed floats per slice; default by target. */
  readonly sliceFloats?: number;
}

/** Common arguments of all launches of a pass. */
interface Pass extends Winograd {
  readonly target: KernelTarget;
  readonly shape: Conv2dShape;
  readonly label: string;
}

/** Default limit on transformed floats per slice: small enough to stay in cache, large enough for few dispatches. */
const SLICE_FLOATS = { subgroup: 2 ** 22, tile: 2 ** 24 };

/** Divides a convolution into tiles and slices. */
function planSlices({ target, tile, shape, sliceFloats }: Omit<Pass, "label">) {
  const [from, to] = [4 * quads(shape.inChannels), 4 * quads(shape.outChannels)];
  const points = (tile + 2) ** 2;
  const tiles = shape.batch * winogradTiles(tile, shape);
  const limit = sliceFloats ?? SLICE_FLOATS[target.path];
  const most = Math.max(1, Math.floor(limit / (points * Math.max(from, to))));
  const rows = Math.ceil(tiles / Math.ceil(tiles / most));
  const slices = range(Math.ceil(tiles / rows)).map((i) => {
    return { first: i * rows, last: Math.min((i + 1) * rows, tiles) };
  });
  return { from, to, points, tiles, rows, slices };
}

/** Tiles from `first` up to, not including, `last`; `rows` may exceed their number. */
type Slice = Readonly<Record<"first" | "last" | "rows" | "channels", number>>;

/** Parameters of a transform over the rows of a slice. */
function tileParams({ tile, shape }: Pass, which: WinogradTransform, slice: Slice) {
  const { first, last, rows, channels } = slice;
  return {
    ...{ height: shape.inHeight, width: shape.inWidth, channels: channels / TRANSFORM_WIDTHS[which] },
    ...{ tiles_y: Math.ceil(shape.inHeight / tile), tiles_x: Math.ceil(shape.inWidth / tile) },
    ...{ first, last, rows, has_bias: 0, has_row_bias: 0, has_addend: 0 },
    ...{ row_bias_first: 0, row_bias_row: 0 },
  };
}

/** Grid of a transform over rows. */
function rowGrid(which: WinogradTransform, channels: number, rows: number): [number, number, number] {
  const rowsOfGroup = 64 * TRANSFORM_WIDTHS[which] / GROUP_CHANNELS;
  return [Math.ceil(channels / GROUP_CHANNELS), Math.ceil(rows / rowsOfGroup), 1];
}

function transformImage<B>(
  pass: Pass,
  which: "input" | "output_gradient",
  slice: Slice,
  buffers: { image: B; transformed: B },
): Launch<B> {
  const { tile, label } = pass;
  const kernel = cachedKernel(`winograd${tile}_${which}`, () => imageTransform(tile, which));
  const groups = rowGrid(which, slice.channels, slice.rows);
  return launch(kernel, "main", tileParams(pass, which, slice), buffers, groups, { label });
}

/** Products at all points; `share` is the slice's fraction of the convolution's operations. */
function multiply<B>(
  { target, shape, label }: Pass,
  product: MatmulShape,
  buffers: MatmulBuffers<B>,
  share: number,
): Launch<B>[] {
  const flops = flopsOf(shape) * share;
  return matmul<B>(target, product, buffers, label).map((launch) => ({ ...launch, flops }));
}

/** Strides of the contiguous matrices [rows, columns] of all points; transposed: read by columns. */
function matrices(rows: number, columns: number, transposed = false) {
  return { rowStride: columns, batchStride: rows * columns, headStride: 0, transposed };
}

/** Operands of a pass that is a convolution: x with w, or dy with w rotated by 180 degrees. */
interface Convolution<B> {
  readonly from: B;
  readonly weight: B;
  readonly bias?: B;
  readonly rowBias?: RowBiasBuffer<B>;
  readonly addend?: B;
  readonly to: B;
  readonly scratch: readonly B[];
}

function convolution<B>(pass: Pass, backward: boolean, operands: Convolution<B>): Launch<B>[] {
  const { tile, label } = pass;
  const { from, weight, bias, rowBias, addend, to, scratch: [tiles, weights, products] } = operands;
  const plan = planSlices(pass);
  const [deep, wide] = backward ? [plan.to, plan.from] : [plan.from, plan.to];
  const weightKernel = cachedKernel(`winograd${tile}_weight`, () => weightTransform(tile));
  const outputKernel = cachedKernel(`winograd${tile}_output`, () => outputTransform(tile));
  const count = deep * wide / TRANSFORM_WIDTHS.weight;
  const weightParams = { count, turned: Number(backward) };
  const weightBuffers = { weight, transformed: weights };
  // All declared buffers must be bound; absent operands are not read.
  const outputBuffers = {
    ...{
      products,
      bias: bias ?? weight,
      row_bias: rowBias?.of ?? weight,
      addend: addend ?? weight,
      image: to,
    },
  };
  const ofSlice = ({ first, last }: { first: number; last: number }): Launch<B>[] => {
    const rows = last - first;
    const outputParams = {
      ...tileParams(pass, "output", { first, last, rows, channels: wide }),
      has_bias: Number(bias !== undefined),
      has_row_bias: Number(rowBias !== undefined),
      row_bias_first: (rowBias?.first ?? 0) / TRANSFORM_WIDTHS.output,
      row_bias_row: 4 * quads(rowBias?.width ?? 0) / TRANSFORM_WIDTHS.output,
      has_addend: Number(addend !== undefined),
    };
    const product = {
      ...{ batch: plan.points, heads: 1, m: rows, n: wide, k: deep, alpha: 1 },
      a: matrices(rows, deep),
      b: backward ? matrices(wide, deep, true) : matrices(deep, wide),
      c: matrices(rows, wide),
    };
    const slice = { first, last, rows, channels: deep };
    return [
      transformImage(pass, "input", slice, { image: from, transformed: tiles }),
      ...multiply(pass, product, { a: tiles, b: weights, c: products }, rows / plan.tiles),
      launch(outputKernel, "main", outputParams, outputBuffers, rowGrid("output", wide, rows), { label }),
    ];
  };
  return [
    launch<B, typeof weightKernel>(weightKernel, "main", weightParams, weightBuffers, grid1d(count, 64), {
      label,
    }),
    ...plan.slices.flatMap(ofSlice),
  ];
}

/** `conv2dForward` by Winograd. */
export function winogradForward<B>(
  target: KernelTarget,
  how: Winograd,
  shape: Conv2dShape,
  { x, y, residual, ...others }: Conv2dForwardBuffers<B>,
  label: string,
): Launch<B>[] {
  return convolution({ target, shape, label, ...how }, false, {
    ...others,
    from: x,
    to: y,
    addend: residual,
  });
}

/** `conv2dBackwardInput` by Winograd. */
export function winogradBackwardInput<B>(
  target: KernelTarget,
  how: Winograd,
  shape: Conv2dShape,
  { dy, dx, ...others }: Conv2dBackwardInputBuffers<B>,
  label: string,
): Launch<B>[] {
  return convolution({ target, shape, label, ...how }, true, { ...others, from: dy, to: dx });
}

/** Limit on tiles per float32 accumulator. */
const PART_TILES = 1024;

/** Divides the sum over the tiles of a slice into parts; rows are zero-padded to a multiple of the parts. */
function planParts(pass: Omit<Pass, "label">) {
  const plan = planSlices(pass);
  const places = plan.points * Math.ceil(plan.from / 32) * Math.ceil(plan.to / 32);
  const enough = Math.ceil(ENOUGH_TILES[pass.target.path] / places);
  const wanted = Math.max(enough, Math.ceil(plan.rows / PART_TILES));
  const share = Math.min(plan.rows, Math.max(Math.ceil(plan.rows / wanted), 64));
  const parts = Math.ceil(plan.rows / share);
  const rows = parts * share;
  return { ...plan, share, parts, rows, pieces: Math.ceil(rows / SUM_ROWS) };
}

/** `conv2dBackwardWeight` by Winograd. Products of a slice are added to those of earlier slices. */
export function winogradBackwardWeight<B>(
  target: KernelTarget,
  how: Winograd,
  shape: Conv2dShape,
  { x, dy, dw, db, scratch: [tiles, gradients, sums, ...products] }: Conv2dBackwardWeightBuffers<B>,
  label: string,
): Launch<B>[] {
  const { tile } = how;
  const pass = { target, shape, label, ...how };
  const { from, to, points, rows, share, parts, pieces, slices, ...plan } = planParts(pass);
  const sumKernel = cachedKernel(`winograd${tile}_pixel_sums`, () => pixelSums(tile));
  const withSums = db !== undefined;
  const product = {
    ...{ batch: points, heads: parts, m: from, n: to, k: share, alpha: 1 },
    a: { ...matrices(rows, from, true), headStride: share * from },
    b: { ...matrices(rows, to), headStride: share * to },
    c: { ...matrices(from, to), headStride: points * from * to },
  };
  const ofSlice = ({ first, last }: { first: number; last: number }, i: number): Launch<B>[] => {
    const slice = (channels: number) => ({ first, last, rows, channels });
    const sumParams = {
      ...{ channels: to / TRANSFORM_WIDTHS.pixel_sums, rows, pieces, first_piece: i * pieces },
    };
    const sumBuffers = { transformed: gradients, sums };
    const sum = () =>
      launch<B, typeof sumKernel>(
        sumKernel,
        "main",
        sumParams,
        sumBuffers,
        rowGrid("pixel_sums", to, pieces),
        { label },
      );
    // A buffer cannot be both read and written in a dispatch, so two alternate.
    const before = i > 0 ? products[(i - 1) % 2] : undefined;
    const buffers = { a: tiles, b: gradients, c: products[i % 2], addend: before };
    return [
      transformImage(pass, "input", slice(from), { image: x, transformed: tiles }),
      transformImage(pass, "output_gradient", slice(to), { image: dy, transformed: gradients }),
      ...multiply<B>(pass, product, buffers, (last - first) / plan.tiles),
      ...(withSums ? [sum()] : []),
    ];
  };
  const kernel = cachedKernel(
    `winograd${tile}_weight_gradient${withSums ? "_bias" : ""}`,
    () => weightGradientTransform(tile, withSums),
  );
  const width = TRANSFORM_WIDTHS.weight_gradient;
  const count = from * to / width;
  const params = { count, parts, channels: to / width, pieces: pieces * slices.length };
  const buffers = { products: products[(slices.length - 1) % 2], dw, ...(withSums ? { sums, db } : {}) };
  return [
    ...slices.flatMap(ofSlice),
    launch(kernel, "main", params, buffers as Record<string, B>, grid1d(count + to / width, 64), { label }),
  ];
}

/** Sizes of a pass's scratch buffers in floats. */
export function winogradScratch(
  target: KernelTarget,
  how: Winograd,
  pass: Conv2dPass,
  shape: Conv2dShape,
): number[] {
  const plan = planParts({ target, shape, ...how });
  const { from, to, points, rows } = plan;
  const weights = points * from * to;
  const [inputs, outputs] = [points * rows * from, points * rows * to];
  if (pass === "forward") return [inputs, weights, outputs];
  if (pass === "backward_input") return [outputs, weights, inputs];
  const sums = plan.pieces * plan.slices.length * to;
  const products = plan.slices.slice(0, 2).map(() => plan.parts * weights);
  return [inputs, outputs + rows * to, sums, ...products];
}
