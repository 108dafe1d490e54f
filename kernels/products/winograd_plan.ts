/**
 * Division of Winograd convolutions into tiles, slices of the batch, and parts of the weight gradient's sum.
 *
 * @module
 */
import { type Conv2dShape, flopsOf } from "./conv2d_shape.ts";
import { occupyingParts, quads } from "./gemm.ts";
import { matmul, type MatmulBuffers, type MatmulShape } from "./matmul.ts";
import { range } from "../range.ts";
import type { Launch } from "../source.ts";
import { GUARANTEED_BINDING, type KernelTarget } from "../target.ts";
import { POINT_SIDE, TILE_SIDE } from "./winograd_matrices.ts";
import { GROUP_CHANNELS, TRANSFORM_WIDTHS, type WinogradTransform } from "./winograd_source.ts";

/** Options of Winograd convolutions. */
export interface WinogradOptions {
  /** Limit on transformed floats per slice; default by target. */
  readonly sliceFloats?: number;
}

/** Common arguments of all launches of a pass. */
export interface Pass extends WinogradOptions {
  readonly target: KernelTarget;
  readonly shape: Conv2dShape;
  readonly label: string;
}

/** Tiles per image. */
export function winogradTiles({ outHeight, outWidth }: Conv2dShape): number {
  return Math.ceil(outHeight / TILE_SIDE) * Math.ceil(outWidth / TILE_SIDE);
}

/**
 * Default limit on transformed floats per slice, beyond one image. A CPU wants slices that stay in its cache. A GPU wants few
 * dispatches: only slices of a few million floats would stay in its cache, and each costs three dispatches of microseconds.
 * There the limit bounds the memory of large activations; the batches of small ones fit into one slice.
 */
const SLICE_FLOATS = { subgroup: 2 ** 22, tile: 2 ** 26 };

/** Images from `first` up to, not including, `last`. */
export interface ImageRange {
  readonly first: number;
  readonly last: number;
}

/** True if a target can bind the transforms of an image, the least of a slice, and of the weights. */
export function winogradFits(
  { bindingBytes = GUARANTEED_BINDING }: KernelTarget,
  shape: Conv2dShape,
): boolean {
  const [from, to] = [4 * quads(shape.inChannels), 4 * quads(shape.outChannels)];
  const largest = Math.max(winogradTiles(shape) * Math.max(from, to), from * to);
  return 4 * POINT_SIDE ** 2 * largest <= bindingBytes;
}

/** Division of a convolution into tiles and slices. */
export function planSlices({ target, shape, sliceFloats }: Omit<Pass, "label">) {
  const [from, to] = [4 * quads(shape.inChannels), 4 * quads(shape.outChannels)];
  const points = POINT_SIDE ** 2;
  const tiles = winogradTiles(shape);
  const { path, bindingBytes = GUARANTEED_BINDING } = target;
  const limit = Math.min(sliceFloats ?? SLICE_FLOATS[path], bindingBytes / 4);
  const most = Math.max(1, Math.floor(limit / (points * tiles * Math.max(from, to))));
  const images = Math.ceil(shape.batch / Math.ceil(shape.batch / most));
  const slices = range(Math.ceil(shape.batch / images)).map((i): ImageRange => {
    return { first: i * images, last: Math.min((i + 1) * images, shape.batch) };
  });
  return { from, to, points, tiles, images, slices };
}

/** Limit on tiles per float32 accumulator. */
const PART_TILES = 1024;
/** Tiles below which a part would spend more on its result than on its sum. */
const LEAST_TILES = 64;

/**
 * Likewise with the sum over a slice's tiles divided into parts of whole images; `images` is padded to a multiple of the parts,
 * with transforms of zero.
 */
export function planParts(pass: Omit<Pass, "label">) {
  const plan = planSlices(pass);
  const { from, to, points, tiles, images } = plan;
  const enough = occupyingParts(pass.target, { rows: from, columns: to, places: points });
  const wanted = Math.max(enough, Math.ceil(images * tiles / PART_TILES));
  const least = Math.min(images, Math.ceil(LEAST_TILES / tiles));
  const { bindingBytes = GUARANTEED_BINDING } = pass.target;
  const fits = (share: number) => {
    const parts = Math.ceil(images / share);
    const largest = Math.max(parts * share * tiles * Math.max(from, to), parts * from * to);
    return 4 * points * largest <= bindingBytes;
  };
  // Up to twice as many parts as are wanted, where those divide the images evenly.
  const even = range(wanted).map((i) => images / (wanted + i))
    .find((share) => Number.isInteger(share) && share >= least && fits(share));
  // A part of all images fits.
  const first = Math.max(Math.ceil(images / wanted), least);
  const share = even ?? range(images - first + 1).map((i) => first + i).find(fits) ?? images;
  const parts = Math.ceil(images / share);
  return { ...plan, share, parts, images: parts * share };
}

/** Parameters of a transform over the tiles of a slice of `images` images, of which those past the last are zero. */
export function tileParams(
  { shape }: Pass,
  which: WinogradTransform,
  { first, last }: ImageRange,
  images: number,
  channels: number,
) {
  const tiles = winogradTiles(shape);
  return {
    ...{ height: shape.outHeight, width: shape.outWidth, channels: channels / TRANSFORM_WIDTHS[which] },
    ...{ tiles_y: Math.ceil(shape.outHeight / TILE_SIDE), tiles_x: Math.ceil(shape.outWidth / TILE_SIDE) },
    ...{ first: first * tiles, last: last * tiles, rows: images * tiles },
    ...{ has_bias: 0, has_row_bias: 0, has_addend: 0, row_bias_first: 0, row_bias_row: 0 },
    ...{ relu: 0, padding: shape.padTop },
  };
}

/** Grid of a transform over rows. */
export function rowGrid(which: WinogradTransform, channels: number, rows: number): [number, number, number] {
  const rowsOfGroup = 64 * TRANSFORM_WIDTHS[which] / GROUP_CHANNELS;
  return [Math.ceil(channels / GROUP_CHANNELS), Math.ceil(rows / rowsOfGroup), 1];
}

/**
 * Products at all points for a slice. They count the operations of the direct convolution and transforms count none, so that
 * rates of all algorithms are comparable.
 */
export function multiply<B>(
  { target, shape, label }: Pass,
  { first, last }: ImageRange,
  product: MatmulShape,
  buffers: MatmulBuffers<B>,
): Launch<B>[] {
  const flops = flopsOf(shape) * (last - first) / shape.batch;
  return matmul<B>(target, product, buffers, label).map((launch) => ({ ...launch, flops }));
}

/** Strides of the contiguous matrices [rows, columns] of all points; transposed: read by columns. */
export function matrices(rows: number, columns: number, transposed = false) {
  return { rowStride: columns, batchStride: rows * columns, headStride: 0, transposed };
}
