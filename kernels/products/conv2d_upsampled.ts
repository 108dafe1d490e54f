/**
 * Launchers of direct convolutions of an upsampled image, without the image: four 2x2 convolutions of the small one (see
 * conv2d_upsampled_source.ts).
 *
 * @module
 */
import { forwardOutputOf, product, rowBiasGradient, windowParams } from "./conv2d_direct.ts";
import {
  type Conv2dBackwardBuffers,
  type Conv2dForwardBuffers,
  type Conv2dShape,
  flopsOf,
} from "./conv2d_shape.ts";
import { inputGradientProblem } from "./conv2d_source.ts";
import {
  contractWeightGradient,
  expandWeights,
  UPSAMPLED_FORWARD,
  UPSAMPLED_WEIGHT_GRADIENT,
} from "./conv2d_upsampled_source.ts";
import { planUpsampledWeightGradient, sumParams } from "./conv2d_weight_plan.ts";
import { cachedKernel, quads } from "./gemm.ts";
import { grid1d, type Launch, launch } from "../source.ts";
import { GUARANTEED_BINDING, type KernelTarget } from "../target.ts";

/** Phases of an output pixel, and taps of each. */
const [PHASES, TAPS] = [4, 4];

/** Padded weights of a tap. */
function weightsOf({ inChannels, outChannels }: Pick<Conv2dShape, "inChannels" | "outChannels">): number {
  return 4 * quads(inChannels) * 4 * quads(outChannels);
}

/** Sizes of the small image, of the weights, and of products with a window of `side` x `side`. */
function sizesOf(s: Conv2dShape, side: number) {
  const small = { ...s, inHeight: s.inHeight / 2, inWidth: s.inWidth / 2 };
  return {
    small,
    params: { ...windowParams(small), taps: side ** 2, window_w: side },
    pixels: s.batch * small.inHeight * small.inWidth,
    weights: weightsOf(s),
  };
}

/** A product with the operations of the direct convolution of the large image, and its own. */
function counted<B>(shape: Conv2dShape, launch: Launch<B>): Launch<B> {
  return { ...launch, flops: flopsOf(shape), operations: flopsOf(shape) * TAPS / 9 };
}

/** Sums of weights. */
function expand<B>(shape: Conv2dShape, weight: B, expanded: B, label: string): Launch<B> {
  const kernel = cachedKernel("upsampled_weight", expandWeights);
  const count = sizesOf(shape, 2).weights / 4;
  return launch(kernel, "main", { count }, { weight, expanded }, grid1d(count, 64), { label });
}

/**
 * True if a target can bind the sums of weights, and a part of the weight gradient, which has as many floats. Half of that would do
 * for sums stored in float16, but their gradient is float32.
 */
export function upsampledFits(
  { bindingBytes = GUARANTEED_BINDING }: KernelTarget,
  shape: Pick<Conv2dShape, "inChannels" | "outChannels">,
): boolean {
  return 4 * PHASES * TAPS * weightsOf(shape) <= bindingBytes;
}

/** Size of the sums of weights in floats, if they are stored as the weights are. */
function expandedFloats({ half = false }: KernelTarget, shape: Conv2dShape): number {
  return PHASES * TAPS * sizesOf(shape, 2).weights / (half ? 2 : 1);
}

/** `conv2dForward` of an upsampled image. */
export function upsampledForward<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  { x, weight, scratch: [expanded], ...others }: Conv2dForwardBuffers<B>,
  label: string,
): Launch<B>[] {
  const { params, pixels } = sizesOf(shape, 2);
  const output = forwardOutputOf(others, weight);
  const turn = 4 * quads(shape.inChannels);
  const columns = 4 * quads(shape.outChannels);
  const size = { rows: pixels, columns, depth: TAPS * turn, turn, places: PHASES };
  const buffers = { ...output.buffers, x, weight: expanded };
  const options = { label, flops: 0 };
  const all = { ...params, ...output.params };
  return [
    expand(shape, weight, expanded!, label),
    counted(shape, product(target, UPSAMPLED_FORWARD, size, all, buffers, options)),
  ];
}

/** Sizes of the scratch buffers of {@linkcode upsampledForward} in floats. */
export function upsampledForwardScratch(target: KernelTarget, shape: Conv2dShape): number[] {
  return [expandedFloats(target, shape)];
}

/** `conv2dBackward` of an upsampled image. */
export function upsampledBackward<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  buffers: Conv2dBackwardBuffers<B>,
  label: string,
): Launch<B>[] {
  const { weight, dy, dx, addend, rowBias, scratch: [parts, expanded] } = buffers;
  const ofWeight = weightGradient(target, shape, buffers, parts!, label);
  const ofRowBias = rowBias === undefined ? [] : rowBiasGradient(shape, dy, rowBias, label);
  if (dx === undefined) return [...ofWeight, ...ofRowBias];
  const { params, pixels } = sizesOf(shape, 4);
  const turn = 4 * quads(shape.outChannels);
  const columns = 4 * quads(shape.inChannels);
  const size = { rows: pixels, columns, depth: PHASES * TAPS * turn, turn, places: 1 };
  // All declared buffers must be bound; an absent addend is not read.
  const operands = { dy, weight: expanded, addend: addend ?? weight, dx };
  const problem = inputGradientProblem("upsampled");
  const all = { ...params, has_addend: Number(addend !== undefined) };
  return [
    ...ofWeight,
    expand(shape, weight, expanded!, label),
    counted(shape, product(target, problem, size, all, operands, { label, flops: 0 })),
    ...ofRowBias,
  ];
}

function weightGradient<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  { x, dy, dw, sums }: Pick<Conv2dBackwardBuffers<B>, "x" | "dy" | "dw" | "sums">,
  parts: B,
  label: string,
): Launch<B>[] {
  const plan = planUpsampledWeightGradient(target, shape);
  const { small, params, weights } = sizesOf(shape, 2);
  const { rows, columns, width, share } = plan;
  const places = PHASES * plan.parts;
  const size = { rows, columns, depth: share * width, turn: width, places };
  const all = { ...params, ...sumParams(plan, small.inWidth) };
  const operands = { x, dy, out: parts, sums_out: sums };
  const problem = UPSAMPLED_WEIGHT_GRADIENT;
  const kernel = cachedKernel("conv2d_sum_parts_upsampled", contractWeightGradient);
  const sum = { count: weights / 4, parts: plan.parts };
  return [
    counted(shape, product(target, problem, size, all, operands, { label, flops: 0 })),
    launch(kernel, "main", sum, { parts, dw }, grid1d(sum.count, 64), { label }),
  ];
}

/** Rows of the sums of {@linkcode upsampledBackward}: parts of the sum over pixels, by phase. */
export function upsampledSumRows(target: KernelTarget, shape: Conv2dShape): number {
  return PHASES * planUpsampledWeightGradient(target, shape).parts;
}

/** Sizes of the scratch buffers of {@linkcode upsampledBackward} in floats. */
export function upsampledBackwardScratch(
  target: KernelTarget,
  shape: Conv2dShape,
  withDx: boolean,
): number[] {
  const { rows, columns, parts } = planUpsampledWeightGradient(target, shape);
  return [PHASES * parts * rows * columns, ...withDx ? [expandedFloats(target, shape)] : []];
}
