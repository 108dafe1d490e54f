/**
 * Launchers of convolutions with windows of any size (a dense layer is a 1x1 convolution of 1x1 images), forward and both
 * gradients, with a choice between direct and Winograd algorithms.
 *
 * @module
 */
import { directBackward, directBackwardScratch, directForward, directSumRows } from "./conv2d_direct.ts";
import type { Conv2dBackwardBuffers, Conv2dForwardBuffers, Conv2dShape } from "./conv2d_shape.ts";
import {
  upsampledBackward,
  upsampledBackwardScratch,
  upsampledForward,
  upsampledForwardScratch,
  upsampledSumRows,
} from "./conv2d_upsampled.ts";
import type { Launch } from "../source.ts";
import { choose, type KernelTarget } from "../target.ts";
import { winogradApplies, winogradForward, winogradForwardScratch } from "./winograd.ts";
import { winogradBackward, winogradBackwardScratch } from "./winograd_gradients.ts";
import { winogradFits, winogradTiles } from "./winograd_plan.ts";

export type { Conv2dShape } from "./conv2d_shape.ts";

/** Pass of a convolution: output, or all its gradients. */
type Pass = "forward" | "backward";

/** Algorithm of a pass, as named in tuning choices; `winograd4` is F(4 x 4, 3 x 3). */
type Algorithm = "direct" | "winograd4";

/**
 * Batch size assumed by the choice of a forward algorithm, which must not depend on the actual one: an image has the same
 * bits in a batch of any size. Gradients use the actual batch.
 */
const FORWARD_BATCH = 2;

/** Minimum channels for Winograd: below, the rounding errors of F(4 x 4) exceed the tolerance of the other kernels. */
const MIN_CHANNELS = 16;
/** Likewise, minimum pixels that a weight gradient sums over. */
const MIN_PIXELS = 64;

/**
 * Channels from which F(4 x 4) wins on every GPU. Per pixel it saves 13.5 operations for each pair of an input and an output
 * channel, and its transformed tiles cost 36 bytes of memory traffic per channel: with 64 channels 24 operations per byte,
 * about the ratio at which products run on GPUs with slow memory (16 on an H200 at its peak). Below, autotuning compares.
 */
const SURE_CHANNELS = 64;

/**
 * Algorithms that apply, the default first. F(4 x 4) needs a quarter of the multiplications, but its transforms cost as much
 * as 3 x 3 convolutions of about 16 channels, and the product at each point handles 16 tiles (rows) at a time. Measured on
 * llvmpipe; on an H200, F(4 x 4) was the fastest for all 3 x 3 convolutions of stride 1 that matter. F(2 x 2) was the fastest
 * on neither, except for a few of 4 x 4 pixels.
 */
function candidates(target: KernelTarget, pass: Pass, s: Conv2dShape): Algorithm[] {
  const channels = Math.min(s.inChannels, s.outChannels);
  const exact = pass === "forward" || s.batch * s.outHeight * s.outWidth >= MIN_PIXELS;
  // The transforms cancel large terms, which float16 is not precise enough for.
  if (target.half || !winogradApplies(pass, s) || channels < MIN_CHANNELS || !exact) return ["direct"];
  if (!winogradFits(target, s)) return ["direct"];
  if (target.path === "tile") return channels < SURE_CHANNELS ? ["winograd4", "direct"] : ["winograd4"];
  const tiles = (pass === "forward" ? FORWARD_BATCH : s.batch) * winogradTiles(s);
  return tiles >= 16 && tiles * channels >= 2048 ? ["winograd4", "direct"] : ["direct", "winograd4"];
}

function usesWinograd(target: KernelTarget, pass: Pass, s: Conv2dShape): boolean {
  const batch = pass === "forward" ? "" : `${s.batch}x`;
  const sizes = `${batch}${s.inHeight}x${s.inWidth} ${s.inChannels}>${s.outChannels}`;
  const key = `conv2d_${pass} ${sizes} 3/1${s.upsampled ? " upsampled" : ""}${
    s.padTop === 0 ? " unpadded" : ""
  }`;
  const winograd: Algorithm = "winograd4";
  return choose(target, key, candidates(target, pass, s)) === winograd;
}

/** An algorithm's launchers, with the sizes of its scratch buffers in floats and the rows of its sums. */
interface Convolution {
  readonly forward: Launcher<"forward">;
  forwardScratch(target: KernelTarget, shape: Conv2dShape): number[];
  readonly backward: Launcher<"backward">;
  backwardScratch(target: KernelTarget, shape: Conv2dShape, withDx: boolean): number[];
  sumRows(target: KernelTarget, shape: Conv2dShape): number;
}

type Launcher<P extends Pass> = <B>(
  target: KernelTarget,
  shape: Conv2dShape,
  buffers: { forward: Conv2dForwardBuffers<B>; backward: Conv2dBackwardBuffers<B> }[P],
  label: string,
) => Launch<B>[];

const WINOGRAD: Convolution = {
  forward: winogradForward,
  forwardScratch: winogradForwardScratch,
  backward: winogradBackward,
  backwardScratch: winogradBackwardScratch,
  sumRows: (_, { batch }) => batch,
};

const DIRECT: Convolution = {
  forward: directForward,
  forwardScratch: () => [],
  backward: directBackward,
  backwardScratch: directBackwardScratch,
  sumRows: directSumRows,
};

const UPSAMPLED: Convolution = {
  forward: upsampledForward,
  forwardScratch: upsampledForwardScratch,
  backward: upsampledBackward,
  backwardScratch: upsampledBackwardScratch,
  sumRows: upsampledSumRows,
};

function convolution(target: KernelTarget, pass: Pass, s: Conv2dShape): Convolution {
  if (usesWinograd(target, pass, s)) return WINOGRAD;
  return s.upsampled ? UPSAMPLED : DIRECT;
}

/**
 * y[n,oy,ox,o] = bias[o] + sum over ky,kx,i of x[n, oy*s+ky-padTop, ox*s+kx-padLeft, i] w[ky,kx,i,o]
 * (+ rowBias[n,o]) (+ residual[n,oy,ox,o]), and ReLU of it if the shape says so.
 */
export function conv2dForward<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  buffers: Conv2dForwardBuffers<B>,
  label: string,
): Launch<B>[] {
  return convolution(target, "forward", shape).forward(target, shape, buffers, label);
}

/** Sizes of the scratch buffers of {@linkcode conv2dForward} in floats. */
export function conv2dForwardScratch(target: KernelTarget, shape: Conv2dShape): number[] {
  return convolution(target, "forward", shape).forwardScratch(target, shape);
}

/**
 * Gradients of {@linkcode conv2dForward}:
 *
 *   dw[ky,kx,i,o] = sum over n,oy,ox of x[n, oy*s+ky-padTop, ox*s+kx-padLeft, i] dy[n,oy,ox,o]
 *   dx[n,iy,ix,i] = sum of dy * w over all products of the forward pass that contain x[n,iy,ix,i] (+ addend)
 *   rowBias[n,o]  = sum over oy,ox of dy[n,oy,ox,o]
 */
export function conv2dBackward<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  buffers: Conv2dBackwardBuffers<B>,
  label: string,
): Launch<B>[] {
  return convolution(target, "backward", shape).backward(target, shape, buffers, label);
}

/** Rows of the sums of {@linkcode conv2dBackward}. */
export function conv2dSumRows(target: KernelTarget, shape: Conv2dShape): number {
  return convolution(target, "backward", shape).sumRows(target, shape);
}

/** Sizes of the scratch buffers of {@linkcode conv2dBackward} in floats, with or without `dx`. */
export function conv2dBackwardScratch(target: KernelTarget, shape: Conv2dShape, withDx: boolean): number[] {
  return convolution(target, "backward", shape).backwardScratch(target, shape, withDx);
}
