/**
 * Convolutions 3x3 and 1x1 (a dense layer is a 1x1 convolution of 1x1 images), forward and both gradients.
 *
 * Activations are [N, H, W, Cp] with channels padded to Cp = 4*ceil(C/4), weights [k, k, Ip, Op], bias [Op]; padding lanes hold
 * zeros on input, and then do so on output.
 *
 * @module
 */
import { grid1d, type KernelSource, type Launch, launch, parseKernel } from "./source.ts";
import type { KernelTarget } from "./target.ts";

/** Shape of a convolution, in logical channels. Rows and columns outside the input read as zero. */
export interface Conv2dShape {
  batch: number;
  inHeight: number;
  inWidth: number;
  inChannels: number;
  outHeight: number;
  outWidth: number;
  outChannels: number;
  kernel: 1 | 3;
  stride: 1 | 2;
  /** 1 for 3x3 at stride 1; 0 for 1x1 and for stride 2, which pads right and bottom only. */
  padTop: number;
  padLeft: number;
}

const SHARED = `
struct Params {
  batch: u32, in_h: u32, in_w: u32, in_c4: u32, out_h: u32, out_w: u32, out_c4: u32,
  kernel: u32, stride: u32, pad_top: u32, pad_left: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> row_bias: array<vec4f>;
@group(0) @binding(5) var<storage, read> residual: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(7) var<storage, read> dy: array<vec4f>;
@group(0) @binding(8) var<storage, read> addend: array<vec4f>;
@group(0) @binding(9) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(10) var<storage, read_write> dw: array<vec4f>;
@group(0) @binding(11) var<storage, read_write> db: array<vec4f>;
`;

function forwardSource(bias: boolean, rowBias: boolean, residual: boolean): string {
  return `${SHARED}
@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = (wg.y * groups.x + wg.x) * 64u + lane;
  if (id >= params.batch * params.out_h * params.out_w * params.out_c4) { return; }
  let o = id % params.out_c4;
  let pixel = id / params.out_c4;
  let ox = pixel % params.out_w;
  let oy = (pixel / params.out_w) % params.out_h;
  let n = pixel / (params.out_w * params.out_h);
  var sum = vec4f(0.0);
  for (var ky = 0u; ky < params.kernel; ky++) {
    for (var kx = 0u; kx < params.kernel; kx++) {
      let iy = oy * params.stride + ky - params.pad_top;
      let ix = ox * params.stride + kx - params.pad_left;
      if (iy >= params.in_h || ix >= params.in_w) { continue; }
      let row = ((n * params.in_h + iy) * params.in_w + ix) * params.in_c4;
      let tap = (ky * params.kernel + kx) * params.in_c4 * 4u;
      for (var i = 0u; i < params.in_c4; i++) {
        let a = x[row + i];
        let w = (tap + 4u * i) * params.out_c4 + o;
        sum += a.x * weight[w];
        sum += a.y * weight[w + params.out_c4];
        sum += a.z * weight[w + 2u * params.out_c4];
        sum += a.w * weight[w + 3u * params.out_c4];
      }
    }
  }
  ${bias ? "sum += bias[o];" : ""}
  ${rowBias ? "sum += row_bias[n * params.out_c4 + o];" : ""}
  ${residual ? "sum += residual[id];" : ""}
  y[id] = sum;
}`;
}

function inputGradientSource(addend: boolean): string {
  return `${SHARED}
@compute @workgroup_size(64)
fn backward_input(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = (wg.y * groups.x + wg.x) * 64u + lane;
  if (id >= params.batch * params.in_h * params.in_w * params.in_c4) { return; }
  let i = id % params.in_c4;
  let pixel = id / params.in_c4;
  let ix = pixel % params.in_w;
  let iy = (pixel / params.in_w) % params.in_h;
  let n = pixel / (params.in_w * params.in_h);
  var sum = vec4f(0.0);
  for (var ky = 0u; ky < params.kernel; ky++) {
    for (var kx = 0u; kx < params.kernel; kx++) {
      let sy = iy + params.pad_top - ky;
      let sx = ix + params.pad_left - kx;
      let oy = sy / params.stride;
      let ox = sx / params.stride;
      if (oy * params.stride != sy || ox * params.stride != sx || oy >= params.out_h || ox >= params.out_w) { continue; }
      let row = ((n * params.out_h + oy) * params.out_w + ox) * params.out_c4;
      let tap = ((ky * params.kernel + kx) * params.in_c4 + i) * 4u * params.out_c4;
      for (var o = 0u; o < params.out_c4; o++) {
        let g = dy[row + o];
        let w = tap + o;
        sum += vec4f(dot(g, weight[w]), dot(g, weight[w + params.out_c4]),
          dot(g, weight[w + 2u * params.out_c4]), dot(g, weight[w + 3u * params.out_c4]));
      }
    }
  }
  ${addend ? "sum += addend[id];" : ""}
  dx[id] = sum;
}`;
}

const WEIGHT_GRADIENT = `${SHARED}
@compute @workgroup_size(64)
fn backward_weight(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = (wg.y * groups.x + wg.x) * 64u + lane;
  if (id >= params.kernel * params.kernel * params.in_c4 * params.out_c4) { return; }
  let o = id % params.out_c4;
  let i = (id / params.out_c4) % params.in_c4;
  let tap = id / (params.out_c4 * params.in_c4);
  let ky = tap / params.kernel;
  let kx = tap % params.kernel;
  var s0 = vec4f(0.0);
  var s1 = vec4f(0.0);
  var s2 = vec4f(0.0);
  var s3 = vec4f(0.0);
  for (var n = 0u; n < params.batch; n++) {
    for (var oy = 0u; oy < params.out_h; oy++) {
      for (var ox = 0u; ox < params.out_w; ox++) {
        let iy = oy * params.stride + ky - params.pad_top;
        let ix = ox * params.stride + kx - params.pad_left;
        if (iy >= params.in_h || ix >= params.in_w) { continue; }
        let a = x[((n * params.in_h + iy) * params.in_w + ix) * params.in_c4 + i];
        let g = dy[((n * params.out_h + oy) * params.out_w + ox) * params.out_c4 + o];
        s0 += a.x * g;
        s1 += a.y * g;
        s2 += a.z * g;
        s3 += a.w * g;
      }
    }
  }
  let at = (tap * params.in_c4 + i) * 4u * params.out_c4 + o;
  dw[at] = s0;
  dw[at + params.out_c4] = s1;
  dw[at + 2u * params.out_c4] = s2;
  dw[at + 3u * params.out_c4] = s3;
}`;

const BIAS_GRADIENT = `${SHARED}
@compute @workgroup_size(64)
fn backward_bias(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let o = (wg.y * groups.x + wg.x) * 64u + lane;
  if (o >= params.out_c4) { return; }
  var sum = vec4f(0.0);
  for (var row = 0u; row < params.batch * params.out_h * params.out_w; row++) { sum += dy[row * params.out_c4 + o]; }
  db[o] = sum;
}`;

const cache = new Map<string, KernelSource>();

function kernel(name: string, code: () => string): KernelSource {
  let source = cache.get(name);
  if (!source) cache.set(name, source = parseKernel(name, code()));
  return source;
}

const quads = (channels: number): number => Math.ceil(channels / 4);

function paramsOf(s: Conv2dShape): Record<string, number> {
  return {
    batch: s.batch,
    in_h: s.inHeight,
    in_w: s.inWidth,
    in_c4: quads(s.inChannels),
    out_h: s.outHeight,
    out_w: s.outWidth,
    out_c4: quads(s.outChannels),
    kernel: s.kernel,
    stride: s.stride,
    pad_top: s.padTop,
    pad_left: s.padLeft,
  };
}

/** Products of one pass (forward or either gradient), 2 per multiply-add. */
function flopsOf(s: Conv2dShape): number {
  return 2 * s.batch * s.outHeight * s.outWidth * s.kernel ** 2 * s.inChannels * s.outChannels;
}

/** Keeps the buffers that are there. */
function present<B>(buffers: Record<string, B | undefined>): Record<string, B> {
  return Object.fromEntries(
    Object.entries(buffers).filter((entry): entry is [string, B] => entry[1] !== undefined),
  );
}

/** Buffers of {@linkcode conv2dForward}. */
export interface Conv2dForwardBuffers<B> {
  /** [N, H, W, Ip]. */
  x: B;
  /** [k, k, Ip, Op]. */
  weight: B;
  /** [Op], added to every pixel. */
  bias?: B;
  /** [N, 1, 1, Op], added to every pixel of its sample. */
  rowBias?: B;
  /** [N, H', W', Op], added. */
  residual?: B;
  /** [N, H', W', Op], overwritten. */
  y: B;
}

/**
 * y[n,oy,ox,o] = bias[o] + sum over ky,kx,i of x[n, oy*s+ky-padTop, ox*s+kx-padLeft, i] w[ky,kx,i,o]
 * (+ rowBias[n,o]) (+ residual[n,oy,ox,o]).
 */
export function conv2dForward<B>(
  _target: KernelTarget,
  shape: Conv2dShape,
  { x, weight, bias, rowBias, residual, y }: Conv2dForwardBuffers<B>,
  label: string,
): Launch<B>[] {
  const name = `conv2d_forward${bias ? "_b" : ""}${rowBias ? "_r" : ""}${residual ? "_s" : ""}`;
  const source = kernel(name, () => forwardSource(!!bias, !!rowBias, !!residual));
  const buffers = present({ x, weight, bias, row_bias: rowBias, residual, y });
  const count = shape.batch * shape.outHeight * shape.outWidth * quads(shape.outChannels);
  return [
    launch(source, "forward", paramsOf(shape), buffers, grid1d(count, 64), { label, flops: flopsOf(shape) }),
  ];
}

/** Buffers of {@linkcode conv2dBackwardInput}. */
export interface Conv2dBackwardInputBuffers<B> {
  /** [N, H', W', Op]. */
  dy: B;
  /** [k, k, Ip, Op]. */
  weight: B;
  /** [N, H, W, Ip], the gradient so far. */
  addend?: B;
  /** [N, H, W, Ip], overwritten. */
  dx: B;
}

/** dx[n,iy,ix,i] = sum over the products of the forward pass that x[n,iy,ix,i] is in of dy * w (+ addend). */
export function conv2dBackwardInput<B>(
  _target: KernelTarget,
  shape: Conv2dShape,
  { dy, weight, addend, dx }: Conv2dBackwardInputBuffers<B>,
  label: string,
): Launch<B>[] {
  const source = kernel(`conv2d_backward_input${addend ? "_a" : ""}`, () => inputGradientSource(!!addend));
  const buffers = present({ dy, weight, addend, dx });
  const count = shape.batch * shape.inHeight * shape.inWidth * quads(shape.inChannels);
  return [
    launch(source, "backward_input", paramsOf(shape), buffers, grid1d(count, 64), {
      label,
      flops: flopsOf(shape),
    }),
  ];
}

/** Buffers of {@linkcode conv2dBackwardWeight}. */
export interface Conv2dBackwardWeightBuffers<B> {
  /** [N, H, W, Ip]. */
  x: B;
  /** [N, H', W', Op]. */
  dy: B;
  /** [k, k, Ip, Op], overwritten. */
  dw: B;
  /** [Op], overwritten with the sum of dy over samples and pixels. */
  db?: B;
  /** {@linkcode conv2dBackwardWeightScratch} floats; holds nothing before or after. */
  scratch: B;
}

/** dw[ky,kx,i,o] = sum over n,oy,ox of x[n, oy*s+ky-padTop, ox*s+kx-padLeft, i] dy[n,oy,ox,o]; db[o] = sum of dy. */
export function conv2dBackwardWeight<B>(
  _target: KernelTarget,
  shape: Conv2dShape,
  { x, dy, dw, db }: Conv2dBackwardWeightBuffers<B>,
  label: string,
): Launch<B>[] {
  const params = paramsOf(shape);
  const weights = kernel("conv2d_backward_weight", () => WEIGHT_GRADIENT);
  const count = shape.kernel ** 2 * quads(shape.inChannels) * quads(shape.outChannels);
  const launches: Launch<B>[] = [
    launch(weights, "backward_weight", params, { x, dy, dw } as Record<string, B>, grid1d(count, 64), {
      label,
      flops: flopsOf(shape),
    }),
  ];
  if (db !== undefined) {
    const sums = kernel("conv2d_backward_bias", () => BIAS_GRADIENT);
    const groups = grid1d(quads(shape.outChannels), 64);
    launches.push(launch(sums, "backward_bias", params, { dy, db } as Record<string, B>, groups, { label }));
  }
  return launches;
}

/** Floats of scratch that {@linkcode conv2dBackwardWeight} needs; at least 4. */
export function conv2dBackwardWeightScratch(_target: KernelTarget, _shape: Conv2dShape): number {
  return 4;
}
