/** Small kernels for tests of the GPU layer. */
import { type KernelSource, type Launch, launch, parseKernel } from "../../kernels/source.ts";
import type { BufferView } from "../../lib/gpu/memory.ts";

/** `y = factor * scale * x + shift`, with a parameter of each type and an override without default. */
export const affine: KernelSource = parseKernel(
  "affine",
  `
override factor: f32;
struct Params {
  count: u32,
  shift: i32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn run(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.count) { y[id.x] = factor * params.scale * x[id.x] + f32(params.shift); }
}`,
);

/** `y = y + 1`, without parameters. */
export const increment: KernelSource = parseKernel(
  "increment",
  `
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn run(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&y)) { y[id.x] += 1.0; }
}`,
);

/** Follows our conventions but is not valid WGSL. */
export const broken: KernelSource = parseKernel(
  "broken",
  `
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn run() { y[0] = nothing_of_the_kind(1.0); }`,
);

export function affineLaunch(
  x: BufferView,
  y: BufferView,
  params: Record<string, number>,
  factor = 1,
): Launch<BufferView> {
  return launch(affine, "run", params, { x, y }, [1, 1, 1], { constants: { factor }, label: "affine test" });
}

export function incrementLaunch(y: BufferView): Launch<BufferView> {
  return launch(increment, "run", {}, { y }, [1, 1, 1]);
}
