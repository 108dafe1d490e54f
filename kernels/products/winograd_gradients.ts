/**
 * Launchers of the gradients of a Winograd convolution, which share the transform of dy (see winograd_gradients_source.ts).
 *
 * @module
 */
import type { Conv2dBackwardBuffers, Conv2dShape } from "./conv2d_shape.ts";
import { cachedKernel, quads } from "./gemm.ts";
import { grid1d, type Launch, launch } from "../source.ts";
import type { KernelTarget } from "../target.ts";
import { upsampleBackward } from "../upsample.ts";
import { transformInput, transformWeight } from "./winograd.ts";
import {
  GRADIENT_ROWS,
  inputGradientTransform,
  outputGradientTransform,
  weightGradientTransform,
} from "./winograd_gradients_source.ts";
import { TILE_SIDE } from "./winograd_matrices.ts";
import {
  type ImageRange,
  matrices,
  multiply,
  type Pass,
  planParts,
  rowGrid,
  tileParams,
  type WinogradOptions,
} from "./winograd_plan.ts";
import { GROUP_CHANNELS, TRANSFORM_WIDTHS } from "./winograd_source.ts";

type Plan = ReturnType<typeof planParts>;

/** `conv2dBackward` by Winograd; `sums` has a row per image. */
export function winogradBackward<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  buffers: Conv2dBackwardBuffers<B>,
  label: string,
  options: WinogradOptions = {},
): Launch<B>[] {
  const { x, weight, dw, scratch: [gradients, tiles, ...scratch] } = buffers;
  const pass = { target, shape, label, ...options };
  const plan = planParts(pass);
  const { from, to, images, slices } = plan;
  const parts = scratch.splice(0, Math.min(slices.length, 2));
  const [weights, products, large] = scratch;
  // The gradient of an upsampled image is added up afterwards.
  const [dx, addend] = buffers.dx !== undefined && shape.upsampled
    ? [large, undefined]
    : [buffers.dx, buffers.addend];
  const launches = dx === undefined ? [] : [transformWeight(pass, plan, { weight, transformed: weights })];
  slices.forEach((slice, i) => {
    // A buffer cannot be both read and written in a dispatch, so two alternate.
    const sums = { a: tiles, b: gradients, c: parts[i % 2], addend: i > 0 ? parts[(i - 1) % 2] : undefined };
    launches.push(
      transformGradient(pass, plan, slice, { ...buffers, transformed: gradients }),
      transformInput(pass, slice, images, from, { image: x, transformed: tiles }),
      ...multiply(pass, slice, weightProduct(plan), sums),
    );
    if (dx === undefined) return;
    const rows = (slice.last - slice.first) * plan.tiles;
    const product = {
      ...{ batch: plan.points, heads: 1, m: rows, n: from, k: to, alpha: 1 },
      ...{ a: matrices(images * plan.tiles, to), b: matrices(from, to, true), c: matrices(rows, from) },
    };
    launches.push(
      ...multiply(pass, slice, product, { a: gradients, b: weights, c: products }),
      transformProducts(pass, slice, from, { weight, products, addend, dx }),
    );
  });
  const kernel = cachedKernel("winograd4_weight_gradient", weightGradientTransform);
  const count = from * to / TRANSFORM_WIDTHS.weight_gradient;
  const last = { products: parts[(slices.length - 1) % 2], dw };
  launches.push(launch(kernel, "main", { count, parts: plan.parts }, last, grid1d(count, 64), { label }));
  if (buffers.dx === undefined || !shape.upsampled) return launches;
  const { batch, inHeight, inWidth, inChannels: channels } = shape;
  const small = { batch, height: inHeight / 2, width: inWidth / 2, channels };
  const gradient = { dy: large!, addend: buffers.addend, dx: buffers.dx };
  return [...launches, ...upsampleBackward(small, gradient, label)];
}

/** Sizes of the scratch buffers of {@linkcode winogradBackward} in floats. */
export function winogradBackwardScratch(
  target: KernelTarget,
  shape: Conv2dShape,
  withDx: boolean,
  options: WinogradOptions = {},
): number[] {
  const { from, to, points, tiles, images, parts, slices } = planParts({ target, shape, ...options });
  const [inputs, outputs] = [from, to].map((channels) => points * images * tiles * channels);
  const weights = points * from * to;
  return [
    ...[outputs, inputs],
    ...slices.slice(0, 2).map(() => parts * weights),
    ...withDx ? [weights, inputs] : [],
    ...withDx && shape.upsampled ? [shape.batch * shape.inHeight * shape.inWidth * from] : [],
  ];
}

/** Transform of dy, and its sums. */
function transformGradient<B>(
  pass: Pass,
  { to, tiles, images }: Plan,
  slice: ImageRange,
  { dy, sums, rowBias, transformed }: Pick<Conv2dBackwardBuffers<B>, "dy" | "sums" | "rowBias"> & {
    transformed: B;
  },
): Launch<B> {
  const { shape, label } = pass;
  const withRowBias = rowBias !== undefined;
  const kernel = cachedKernel(
    `winograd4_output_gradient${withRowBias ? "_row_bias" : ""}`,
    () => outputGradientTransform(withRowBias),
  );
  const width = TRANSFORM_WIDTHS.output_gradient;
  const params = {
    ...{ height: shape.outHeight, width: shape.outWidth, channels: to / width, images, ...slice },
    ...{ tiles_y: Math.ceil(shape.outHeight / TILE_SIDE), tiles_x: Math.ceil(shape.outWidth / TILE_SIDE) },
    row_bias_first: (rowBias?.first ?? 0) / width,
    row_bias_row: 4 * quads(rowBias?.width ?? 0) / width,
  };
  const buffers: Record<string, B> = {
    ...{ image: dy, transformed, sums },
    ...(rowBias ? { row_bias: rowBias.of } : {}),
  };
  const imagesOfGroup = Math.floor(GRADIENT_ROWS / Math.min(tiles, GRADIENT_ROWS));
  const groups = [Math.ceil(to / GROUP_CHANNELS), Math.ceil(images / imagesOfGroup), 1] as const;
  return launch(kernel, "main", params, buffers, groups, { label });
}

/** Product of the weight gradient: at each point, a sum over the tiles of each part. */
function weightProduct({ from, to, points, tiles, images, share, parts }: Plan) {
  const [rows, depth] = [images * tiles, share * tiles];
  return {
    ...{ batch: points, heads: parts, m: from, n: to, k: depth, alpha: 1 },
    a: { ...matrices(rows, from, true), headStride: depth * from },
    b: { ...matrices(rows, to), headStride: depth * to },
    c: { ...matrices(from, to), headStride: points * from * to },
  };
}

/** Transform of products to dx. */
function transformProducts<B>(
  pass: Pass,
  slice: ImageRange,
  channels: number,
  { weight, products, addend, dx }: { weight: B; products: B; addend: B | undefined; dx: B },
): Launch<B> {
  const { label } = pass;
  const kernel = cachedKernel("winograd4_input_gradient", inputGradientTransform);
  const params = {
    ...tileParams(pass, "input_gradient", slice, slice.last - slice.first, channels),
    has_addend: Number(addend !== undefined),
  };
  // All declared buffers must be bound; an absent addend is not read.
  const buffers = { products, addend: addend ?? weight, image: dx };
  return launch(kernel, "main", params, buffers, rowGrid("input_gradient", channels, params.rows), { label });
}
