/**
 * Launchers of Winograd convolutions F(m x m, 3 x 3) of stride 1, with padding 1, or without padding: batched products between
 * transforms into and out of tiles (see winograd_source.ts). The gradients, with padding 1 only, are in winograd_gradients.ts.
 *
 * Kernels are named `winograd4_…` after F(4 x 4), by which profiles of earlier versions are compared.
 *
 * @module
 */
import type { Conv2dForwardBuffers, Conv2dShape } from "./conv2d_shape.ts";
import { cachedKernel, quads } from "./gemm.ts";
import { itemLaunch } from "./items.ts";
import { type Launch, launch } from "../source.ts";
import type { KernelTarget } from "../target.ts";
import { inputTransformInLoops, outputTransformInLoops } from "./winograd_loops.ts";
import {
  type ImageRange,
  matrices,
  multiply,
  type Pass,
  planSlices,
  rowGrid,
  tileParams,
  type WinogradOptions,
  winogradTiles,
} from "./winograd_plan.ts";
import { inputTransform, outputTransform, TRANSFORM_WIDTHS, WEIGHT_TRANSFORM } from "./winograd_source.ts";

/** Variant of the transforms for software adapters. */
const LOOPS = "loops";

/** True if Winograd applies to a pass: 3x3, stride 1, and padding 1; the forward pass also without padding. */
export function winogradApplies(pass: "forward" | "backward", s: Conv2dShape): boolean {
  const { padTop: padding, inHeight, inWidth } = s;
  const isSquare = s.kernelHeight === 3 && s.kernelWidth === 3 && s.stride === 1;
  const isEven = s.padLeft === padding && s.outHeight === inHeight + 2 * padding - 2 &&
    s.outWidth === inWidth + 2 * padding - 2;
  return isSquare && isEven && (padding === 1 || (padding === 0 && pass === "forward"));
}

/**
 * Transform of the tiles of a slice.
 *
 * @param images images in `transformed`; those past the slice's last are zero
 * @param channels of `image`, padded
 */
export function transformInput<B>(
  pass: Pass,
  slice: ImageRange,
  images: number,
  channels: number,
  buffers: { image: B; transformed: B },
): Launch<B> {
  const { shape, label } = pass;
  const { upsampled = false, inHeight, inWidth } = shape;
  const inLoops = pass.target.path === "subgroup" && !upsampled;
  const kernel = cachedKernel(
    `winograd4_input${upsampled ? "_upsampled" : ""}`,
    inLoops ? inputTransformInLoops : () => inputTransform(upsampled),
    inLoops ? LOOPS : "",
  );
  const params = {
    ...tileParams(pass, "input", slice, images, channels),
    ...upsampled ? { height: inHeight / 2, width: inWidth / 2 } : { height: inHeight, width: inWidth },
  };
  const groups = rowGrid("input", channels, images * winogradTiles(shape));
  return launch(kernel, "main", params, buffers, groups, { label });
}

/** Transform of the weights, which both passes use. */
export function transformWeight<B>(
  { target, label }: Pass,
  { from, to }: { from: number; to: number },
  buffers: { weight: B; transformed: B },
): Launch<B> {
  // A CPU transforms weights next to their use, in its cache, and its dispatches cost little.
  const options = { label, combines: target.path === "tile" };
  return itemLaunch(WEIGHT_TRANSFORM, { items: from * to, parts: 1 }, buffers, options);
}

/** `conv2dForward` by Winograd. */
export function winogradForward<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  { x, weight, bias, rowBias, residual, y, scratch: [tiles, weights, products] }: Conv2dForwardBuffers<B>,
  label: string,
  options: WinogradOptions = {},
): Launch<B>[] {
  const pass = { target, shape, label, ...options };
  const plan = planSlices(pass);
  const { from, to } = plan;
  const kernel = target.path === "subgroup"
    ? cachedKernel("winograd4_output", outputTransformInLoops, LOOPS)
    : cachedKernel("winograd4_output", outputTransform);
  // All declared buffers must be bound; absent operands are not read.
  const outputBuffers = {
    ...{
      products,
      bias: bias ?? weight,
      row_bias: rowBias?.of ?? weight,
      addend: residual ?? weight,
      image: y,
    },
  };
  const ofSlice = (slice: ImageRange): Launch<B>[] => {
    const images = slice.last - slice.first;
    const rows = images * plan.tiles;
    const params = {
      ...tileParams(pass, "output", slice, images, to),
      has_bias: Number(bias !== undefined),
      has_row_bias: Number(rowBias !== undefined),
      row_bias_first: (rowBias?.first ?? 0) / TRANSFORM_WIDTHS.output,
      row_bias_row: 4 * quads(rowBias?.width ?? 0) / TRANSFORM_WIDTHS.output,
      has_addend: Number(residual !== undefined),
      relu: Number(shape.relu ?? false),
    };
    const product = {
      ...{ batch: plan.points, heads: 1, m: rows, n: to, k: from, alpha: 1 },
      ...{ a: matrices(rows, from), b: matrices(from, to), c: matrices(rows, to) },
    };
    return [
      transformInput(pass, slice, images, from, { image: x, transformed: tiles }),
      ...multiply(pass, slice, product, { a: tiles, b: weights, c: products }),
      launch(kernel, "main", params, outputBuffers, rowGrid("output", to, rows), { label }),
    ];
  };
  return [transformWeight(pass, plan, { weight, transformed: weights }), ...plan.slices.flatMap(ofSlice)];
}

/** Sizes of the scratch buffers of {@linkcode winogradForward} in floats. */
export function winogradForwardScratch(
  target: KernelTarget,
  shape: Conv2dShape,
  options: WinogradOptions = {},
): number[] {
  const { from, to, points, tiles, images } = planSlices({ target, shape, ...options });
  const rows = images * tiles;
  return [points * rows * from, points * from * to, points * rows * to];
}
