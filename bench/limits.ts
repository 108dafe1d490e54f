/**
 * Peak rates of an adapter: float32 multiply-adds and copy bandwidth, each the best of several kernel variants.
 *
 * @module
 */
import { type KernelSource, type Launch, launch, parseKernel } from "../kernels/source.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { type BufferView, ResourceScope } from "../lib/gpu/memory.ts";
import { buildProgram } from "../lib/gpu/program.ts";
import { calibrate, type Effort, type Reference, replay, timeOnce } from "./measure.ts";

/** A peak rate and the kernel variant that reached it. */
export interface Limit extends Reference {
  /** Fastest variant, e.g. `10 chains of f32`. */
  readonly variant: string;
  /** Units per second when the variants were compared. */
  readonly rate: number;
}

/** Both peak rates of an adapter. */
export interface Limits {
  /** Float32 FLOP/s, 2 per multiply-add. */
  readonly fma: Limit;
  /** Bytes per second, read plus written. */
  readonly copy: Limit;
  destroy(): void;
}

/** Measures both peak rates. */
export function measureLimits(gpu: Gpu, effort: Effort): Promise<Limits> {
  const scope = new ResourceScope(gpu, "bench limits");
  return scope.guard(async () => {
    const software = gpu.adapter.software;
    // Larger than most caches, smaller than any network's memory.
    const bytes = Math.min(gpu.limits.maxStorageBufferBindingSize, (software ? 64 : 256) * 2 ** 20);
    const x = scope.buffer(bytes, "x");
    const y = scope.buffer(bytes, "y");
    const groups = software ? 128 : 8192;
    const fma = await fastest(gpu, scope, effort, fmaVariants(y, groups));
    const copy = await fastest(gpu, scope, effort, copyVariants(x, y));
    return { fma, copy, destroy: () => scope.destroy() };
  });
}

interface Variant {
  readonly name: string;
  readonly launch: Launch<BufferView>;
  readonly units: number;
}

async function fastest(
  gpu: Gpu,
  scope: ResourceScope,
  effort: Effort,
  variants: readonly Variant[],
): Promise<Limit> {
  const candidates: Limit[] = [];
  for (const { name, launch, units } of variants) {
    const program = scope.own(await buildProgram(gpu, [launch]));
    const work = replay(gpu, program);
    const count = await calibrate(gpu, work, effort.referenceSeconds);
    let best = Infinity;
    for (let i = 0; i < effort.repeats; i++) best = Math.min(best, await timeOnce(gpu, work, count));
    candidates.push({ work, units, count, variant: name, rate: count * units / best });
  }
  return candidates.reduce((a, b) => b.rate > a.rate ? b : a);
}

const LANES = 256;
const ROUNDS = 32;
/** Multiply-adds per accumulator and round, enough to hide the loop overhead. */
const UNROLLED = 32;

/**
 * Independent accumulators hide latency; too many spill registers. A vector register of a software adapter holds one
 * component of eight invocations, that of a GPU one of 32.
 */
const CHAINS: readonly (readonly [type: "f32" | "vec4f", chains: number])[] = [
  ["f32", 8],
  ["f32", 10],
  ["vec4f", 2],
  ["vec4f", 4],
  ["vec4f", 8],
];

function fmaVariants(y: BufferView, groups: number): Variant[] {
  return CHAINS.map(([type, chains]) => {
    const kernel = fmaKernel(type, chains);
    const params = { rounds: ROUNDS, scale: 0.999, shift: 0.001 };
    const width = type === "f32" ? 1 : 4;
    return {
      name: `${chains} chains of ${type}`,
      launch: launch<BufferView, KernelSource>(kernel, "fma_chains", params, { y }, [groups, 1, 1]),
      units: 2 * width * chains * UNROLLED * ROUNDS * LANES * groups,
    };
  });
}

function fmaKernel(type: string, chains: number): KernelSource {
  const all = Array.from({ length: chains }, (_, i) => i);
  const round = all.map((i) => `    a${i} = fma(a${i}, m, c);`).join("\n");
  // Operands are uniforms and the sum is stored, so that the compiler cannot fold or drop the chain.
  return parseKernel(
    `bench_fma_${type}_${chains}`,
    `struct Params { rounds: u32, scale: f32, shift: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<${type}>;

@compute @workgroup_size(${LANES})
fn fma_chains(@builtin(global_invocation_id) id: vec3u) {
  let m = ${type}(params.scale);
  let c = ${type}(params.shift);
${all.map((i) => `  var a${i} = ${type}(f32(id.x + ${i}u));`).join("\n")}
  for (var r = 0u; r < params.rounds; r++) {
${Array.from({ length: UNROLLED }, () => round).join("\n")}
  }
  y[id.x] = ${all.map((i) => `a${i}`).join(" + ")};
}
`,
  );
}

function copyVariants(x: BufferView, y: BufferView): Variant[] {
  const count = Math.floor(x.size / 16);
  return [1, 4, 8].map((each) => ({
    name: `${each} vec4 an invocation`,
    launch: launch<BufferView, KernelSource>(copyKernel(each), "copy", {}, { x, y }, [
      ...split(Math.floor(count / (LANES * each))),
      1,
    ]),
    units: 2 * 16 * LANES * each * Math.floor(count / (LANES * each)),
  }));
}

/** Splits a workgroup count over x and y; exact for powers of two. */
function split(groups: number): [number, number] {
  const rows = Math.ceil(groups / 32768);
  return [Math.floor(groups / rows), rows];
}

function copyKernel(each: number): KernelSource {
  const lines = Array.from(
    { length: each },
    (_, i) => `  y[first + ${i * LANES}u] = x[first + ${i * LANES}u];`,
  );
  return parseKernel(
    `bench_copy_${each}`,
    `@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(${LANES})
fn copy(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ${LANES * each}u + lane;
${lines.join("\n")}
}
`,
  );
}
