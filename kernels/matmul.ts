/**
 * Batched matrix products over strided layouts: attention with heads as channel slices of NHWC tensors.
 *
 * @module
 */
import { grid1d, type KernelSource, type Launch, launch, parseKernel } from "./source.ts";
import type { KernelTarget } from "./target.ts";

/** Where the matrix of one (batch, head) lies; strides in floats. */
export interface MatmulOutput {
  rowStride: number;
  batchStride: number;
  headStride: number;
}

/** An input matrix: element (row, column) at row*rowStride + column, or, transposed, at column*rowStride + row. */
export interface MatmulInput extends MatmulOutput {
  transposed: boolean;
}

/** Shape of a batched product. */
export interface MatmulShape {
  batch: number;
  heads: number;
  m: number;
  n: number;
  k: number;
  a: MatmulInput;
  b: MatmulInput;
  c: MatmulOutput;
  alpha: number;
}

/** Buffers of {@linkcode matmul}. */
export interface MatmulBuffers<B> {
  a: B;
  b: B;
  c: B;
  /** Same layout as c. */
  addend?: B;
}

function source(addend: boolean): string {
  const addendAt = addend ? " + addend[at]" : "";
  return `
struct Params {
  heads: u32, m: u32, n: u32, k: u32, padded_n: u32, count: u32, sliced: u32, alpha: f32,
  a_row: u32, a_column: u32, a_batch: u32, a_head: u32,
  b_row: u32, b_column: u32, b_batch: u32, b_head: u32,
  c_row: u32, c_batch: u32, c_head: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<storage, read> addend: array<f32>;

@compute @workgroup_size(64)
fn product(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = (wg.y * groups.x + wg.x) * 64u + lane;
  if (id >= params.count) { return; }
  let j = id % params.padded_n;
  let i = (id / params.padded_n) % params.m;
  let head = (id / (params.padded_n * params.m)) % params.heads;
  let sample = id / (params.padded_n * params.m * params.heads);
  let at = sample * params.c_batch + head * params.c_head + i * params.c_row + j;
  if (j >= params.n) {
    if (params.sliced == 0u || head == params.heads - 1u) { c[at] = 0.0; }
    return;
  }
  let a0 = sample * params.a_batch + head * params.a_head + i * params.a_row;
  let b0 = sample * params.b_batch + head * params.b_head + j * params.b_column;
  var sum = 0.0;
  for (var k = 0u; k < params.k; k++) { sum += a[a0 + k * params.a_column] * b[b0 + k * params.b_row]; }
  c[at] = params.alpha * sum${addendAt};
}`;
}

const cache = new Map<string, KernelSource>();

function kernel(addend: boolean): KernelSource {
  const name = `matmul${addend ? "_add" : ""}`;
  let parsed = cache.get(name);
  if (!parsed) cache.set(name, parsed = parseKernel(name, source(addend)));
  return parsed;
}

/**
 * C[b,h][i,j] = alpha * sum over k of A[b,h][i,k] B[b,h][k,j] (+ addend[b,h][i,j]).
 *
 * Rows of C end at a multiple of 4 floats: the up to three columns beyond the last one are written as zero. Where the heads
 * are slices of one row (headStride < rowStride) that is done once, after the last head; else in the matrix of every head.
 */
export function matmul<B>(
  _target: KernelTarget,
  shape: MatmulShape,
  { a, b, c, addend }: MatmulBuffers<B>,
  label: string,
): Launch<B>[] {
  const { batch, heads, m, n, k, alpha } = shape;
  const sliced = heads > 1 && shape.c.headStride < shape.c.rowStride;
  const rowEnd = sliced ? (heads - 1) * shape.c.headStride + n : n;
  const padded = n + (4 - rowEnd % 4) % 4;
  const params = {
    heads,
    m,
    n,
    k,
    padded_n: padded,
    count: batch * heads * m * padded,
    sliced: sliced ? 1 : 0,
    alpha,
    ...strides("a", shape.a),
    ...strides("b", shape.b),
    c_row: shape.c.rowStride,
    c_batch: shape.c.batchStride,
    c_head: shape.c.headStride,
  };
  const buffers: Record<string, B> = addend === undefined ? { a, b, c } : { a, b, c, addend };
  return [
    launch(kernel(addend !== undefined), "product", params, buffers, grid1d(params.count, 64), {
      label,
      flops: 2 * batch * heads * m * n * k,
    }),
  ];
}

function strides(name: string, input: MatmulInput): Record<string, number> {
  return {
    [`${name}_row`]: input.transposed ? 1 : input.rowStride,
    [`${name}_column`]: input.transposed ? input.rowStride : 1,
    [`${name}_batch`]: input.batchStride,
    [`${name}_head`]: input.headStride,
  };
}
