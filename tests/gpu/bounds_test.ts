/** The instrument that finds indices out of bounds. */
import assert from "node:assert/strict";
import { type KernelSource, launch, parseKernel } from "../../kernels/source.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { createBuffer, destroyBuffer } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { describeFaults, watchBounds } from "../support/bounds/device.ts";
import { instrument } from "../support/bounds/instrument.ts";

let opened: Promise<Gpu> | undefined;
const gpuOfTests = () => opened ??= openGpu();

/** A kernel of 8 invocations whose body may use `i`, the number of an invocation, and `x`, `y` of 8 elements. */
function kernelOf(body: string, declarations = ""): KernelSource {
  return parseKernel(
    "tested",
    `
struct Pair { number: u32, values: array<vec4f, 3> }
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<workgroup> shared_values: array<f32, 8>;
${declarations}
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) i: u32) {
  ${body}
}`,
  );
}

/** Faults of a kernel on ranges of 8 elements in the middle of longer buffers. */
async function faultsOf(body: string, declarations?: string): Promise<string> {
  const gpu = await gpuOfTests();
  const report = watchBounds(gpu.device);
  await report.faults();
  const [x, y] = ["x", "y"].map((name) => createBuffer(gpu, 1024, name));
  const range = (buffer: GPUBuffer) => ({ buffer, offset: 256, size: 32 });
  const bound = { x: range(x), y: range(y) };
  const program = await buildProgram(gpu, [
    launch(kernelOf(body, declarations), "main", {}, bound, [1, 1, 1]),
  ]);
  program.run();
  const faults = describeFaults(await report.faults()).replaceAll(/, line \d+/g, "");
  program.destroy();
  for (const buffer of [x, y]) destroyBuffer(gpu, buffer);
  return faults;
}

const CASES: readonly [what: string, body: string, expected: string, declarations?: string][] = [
  ["accesses inside are none", "shared_values[i] = x[i]; y[7u - i] = shared_values[i] + x[0];", ""],
  ["a read one past the end of a range", "y[i] = x[i + 1u];", "tested: x[i + 1u] at 8, of 8"],
  ["a read before the start", "y[i] = x[i - 1u];", "tested: x[i - 1u] at 4294967295, of 8"],
  [
    "a signed index below zero",
    "y[i] = x[i32(i) - 1];",
    "tested: x[i32(i) - 1] at 4294967295, of 8",
  ],
  [
    "a read whose value is not used",
    "y[i] = select(0.0, x[8u + i], i > 9u);",
    "tested: x[8u + i] at 15, of 8",
  ],
  ["a constant index", "y[i] = x[8];", "tested: x[8] at 8, of 8"],
  ["a write one past the end", "y[i + 1u] = x[i];", "tested: y[i + 1u] at 8, of 8"],
  ["a compound assignment", "y[2u * i] += x[i];", "tested: y[2u * i] at 14, of 8"],
  [
    "an element of workgroup memory",
    "shared_values[i + 1u] = x[i]; y[i] = x[i];",
    "tested: shared_values[i + 1u] at 8, of 8",
  ],
  [
    "an element of a local array in a struct",
    "var pair = Pair(); pair.values[i % 4u].y = x[i]; y[i] = pair.values[1].y;",
    "tested: pair.values[i % 4u] at 3, of 3",
  ],
  ["a component of a vector", "let v = vec3f(x[i]); y[i] = v[i % 4u];", "tested: v[i % 4u] at 3, of 3"],
  [
    "a column of a matrix",
    "let m = mat3x2f(); y[i] = x[i] + m[i % 4u].y;",
    "tested: m[i % 4u] at 3, of 3",
  ],
  [
    "an index inside an index",
    "y[u32(x[i + 3u])] = x[i];",
    "tested: x[i + 3u] at 10, of 8",
  ],
  [
    "an access in a function, before an early return",
    "if (i > 3u) { y[i] = after(i); return; } y[i] = x[i];",
    "tested: x[at + 1u] at 8, of 8",
    "fn after(at: u32) -> f32 { return x[at + 1u]; }",
  ],
];

for (const [what, body, expected, declarations] of CASES) {
  Deno.test(`the bounds of kernels: ${what}`, async () => {
    assert.equal(await faultsOf(body, declarations), expected);
  });
}

Deno.test("kernels whose indices cannot all be checked are refused", () => {
  const refused = (body: string, message: RegExp) => {
    assert.throws(() => instrument(kernelOf(body).code), { message });
  };
  refused("let p = &y; (*p)[i] = 0.0;", /^pointers are not understood: &y/);
  refused("y[i] = (vec4f(x[i]) + 1.0)[i];", /^not understood: .*\(vec4f/);
  refused("let sum = vec4f(1.0) + x[i]; y[i] = sum[i];", /^the type of sum is not understood in sum\[i\]/);
  refused("y[i] = unknown[i];", /^the type of unknown is not understood/);
});

Deno.test("all indices are counted, and constant ones inside are not checked", () => {
  const body =
    "let v = vec4f(x[i]); for (var k = 0u; k < 4u; k++) { y[k] = v[k] + v[3] + shared_values[7u]; }";
  const { sites, constant } = instrument(kernelOf(body).code);
  assert.deepEqual(sites.map(({ access }) => access), ["x[i]", "y[k]", "v[k]"]);
  assert.equal(constant, 2);
});

Deno.test("faults end with the call that returns them", async () => {
  assert.notEqual(await faultsOf("y[i + 1u] = x[i];"), "");
  assert.deepEqual(await watchBounds((await gpuOfTests()).device).faults(), []);
});
