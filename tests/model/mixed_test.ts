/** Networks in mixed precision against the same in float32. */
import assert from "node:assert/strict";
import { EMULATED_MATRICES, type KernelTarget } from "../../kernels/target.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { AdapterDescription } from "../../lib/gpu/device.ts";
import { type BufferView, ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { readBack } from "../../lib/gpu/readback.ts";
import { compileGraph, kernelTarget } from "../../lib/graph/compile.ts";
import { recordBackward } from "../../lib/graph/gradients.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { inputsOf, outputsOf } from "../../lib/graph/operations.ts";
import { type UNetConfig, unetConfigFromJson } from "../../lib/model/config.ts";
import { castWeights } from "../../lib/model/flat.ts";
import { bindGradients, bindParameters, createInputs, recordForward } from "../../lib/model/network.ts";
import { ParameterTable } from "../../lib/model/parameters.ts";
import { checkPrecision, defaultPrecision, type Precision, storageType } from "../../lib/model/precision.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { unet, unetInputs } from "../../lib/model/unet.ts";
import { goldenScaled } from "../golden/formula.ts";
import { goldenWeights, loadNetworkCase, toDevice } from "../golden/tensors.ts";
import { MATRIX_GPU, OLD_GPU, PLAIN_GPU, SOFTWARE } from "../support/adapters.ts";
import { onMatrices, testGpu, testTargets, TILE } from "../support/gpu.ts";
import { stepWords } from "../support/step.ts";

/** A power of two that the gradient of the output is multiplied by, as a loss scale would. */
const SCALE = 2 ** 10;

interface Results {
  readonly output: Float32Array;
  /** Of each parameter, by name, without the scale. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  readonly bytes: number;
}

/** Runs a golden case forward and backward, weights and inputs being rounded to float16 in either precision. */
async function runCase(name: string, precision: Precision, target: KernelTarget): Promise<Results> {
  const golden = loadNetworkCase(name);
  const { shape, timesteps, labels } = golden.inputs;
  const gpu = await testGpu();
  const scope = new ResourceScope(gpu, "test");
  const config: UNetConfig = unetConfigFromJson(golden.config);
  const g = new Graph(storageType(precision));
  const inputs = unetInputs(g, config, shape[0], true);
  const output = unet(g, config, inputs);
  const seed = g.input("seed", output.shape);
  const { ofParameter } = recordBackward(g, output, { seed });
  const table = new ParameterTable(g.parameters);
  const flat = scope.buffer(4 * table.elements, "weights").buffer;
  const gradients = scope.buffer(4 * table.elements, "gradients");
  const half = precision === "mixed";
  const copy = half ? scope.buffer(2 * table.elements, "weights in float16").buffer : undefined;
  const bound = createInputs(scope, g);
  for (const [tensor, view] of bindParameters(g, flat, copy)) bound.set(tensor, view);
  for (const [tensor, view] of bindGradients(g, gradients.buffer)) bound.set(ofParameter.get(tensor)!, view);
  const compiled = scope.own(compileGraph(gpu, g, { bound, keep: [output], what: "test", target }));
  const program = scope.own(
    await buildProgram(gpu, [
      ...copy ? castWeights(gpu, table.elements, flat, copy) : [],
      ...compiled.launches.flat(),
    ]),
  );
  const write = ({ buffer }: Pick<BufferView, "buffer">, values: ArrayBufferView<ArrayBuffer>) =>
    gpu.device.queue.writeBuffer(buffer, 0, values);
  const stored = (values: Float32Array) => half ? Float16Array.from(values) : round(values);
  const size = shape.reduce((a, b) => a * b);
  write({ buffer: flat }, round(goldenWeights(golden.case, table)));
  write(compiled.view(inputs.x), stored(toDevice(goldenScaled(golden.case, "x", size, 2), shape)));
  write(compiled.view(seed), stored(toDevice(goldenScaled(golden.case, "seed", size, SCALE), shape)));
  write(compiled.view(inputs.timesteps), new Float32Array(timesteps));
  if (inputs.labels) write(compiled.view(inputs.labels), new Uint32Array(labels!));
  write(compiled.view(inputs.stepState!), stepWords() as Uint32Array<ArrayBuffer>);
  program.run();
  const [out, flatGradients] = await readBack(gpu, [compiled.view(output), gradients]);
  const tensors = table.fromMemory(new Float32Array(flatGradients).map((value) => value / SCALE));
  scope.destroy();
  return {
    output: half ? Float32Array.from(new Float16Array(out)) : new Float32Array(out),
    gradients: new Map([...tensors].map(([key, { data }]) => [key, data])),
    bytes: compiled.bytes,
  };
}

function round(values: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(values, Math.f16round);
}

/** Root of the mean square of the difference, as a share of that of the expected values. */
function relativeError(actual: Float32Array, expected: Float32Array): number {
  assert.equal(actual.length, expected.length);
  assert.ok(actual.every(Number.isFinite));
  return Math.hypot(...actual.map((value, i) => value - expected[i])) / Math.hypot(...expected);
}

/**
 * What may be off, as a share: some 30 results follow each other in either pass, each rounded by up to 2^-11, and a residual
 * network passes each rounding on only in part.
 */
const BOUNDS = { output: 2e-3, gradient: 1e-2 };

async function assertSame(name: string, target: KernelTarget): Promise<void> {
  const [single, half] = [await runCase(name, "float32", target), await runCase(name, "mixed", target)];
  const output = relativeError(half.output, single.output);
  assert.ok(output < BOUNDS.output, `output is ${output} off`);
  const largest = Math.max(...[...single.gradients.values()].map((data) => Math.hypot(...data)));
  for (const [parameter, expected] of single.gradients) {
    // Gradients that are zero but for rounding, such as that of a bias before a softmax over keys.
    if (Math.hypot(...expected) < 1e-4 * largest) continue;
    const error = relativeError(half.gradients.get(parameter)!, expected);
    assert.ok(error < BOUNDS.gradient, `gradient of ${parameter} is ${error} off`);
  }
}

for (const name of ["unaligned", "classes", "heads", "scale_shift"]) {
  Deno.test(`a network in mixed precision is the one in float32 but for roundings: ${name}`, async () => {
    const [target] = await testTargets();
    await assertSame(name, target);
  });
}

Deno.test("a network in mixed precision is the one in float32 but for roundings with the layouts for GPUs: heads", async () => {
  await assertSame("heads", TILE);
});

for (const name of ["unaligned", "heads"]) {
  Deno.test(`a network in mixed precision is the one in float32 but for roundings on matrix units: ${name}`, async () => {
    const [target] = await testTargets();
    await assertSame(name, onMatrices(target));
  });
}

Deno.test("activations take half the memory in mixed precision", async () => {
  const [target] = await testTargets();
  const [single, half] = [
    await runCase("unaligned", "float32", target),
    await runCase("unaligned", "mixed", target),
  ];
  // Statistics and partial sums of gradients stay float32, a good part of so small a network.
  assert.ok(half.bytes < 0.7 * single.bytes, `${half.bytes} of ${single.bytes} bytes`);
});

Deno.test("tensors other than activations and weights of products are float32 in mixed precision, as is the time embedding", () => {
  const { g, inputs, prediction } = recordForward(presetConfig("tiny", 10), 2, "mixed");
  assert.deepEqual([inputs.x.type, prediction.type], ["float16", "float16"]);
  assert.deepEqual([inputs.timesteps.type, inputs.labels!.type], ["float32", "uint32"]);
  for (const { layout, tensor } of g.parameters) {
    const isProducts = (layout === "conv" || layout === "linear") && !tensor.name.startsWith("time_emb");
    assert.equal(tensor.type, isProducts ? "float16" : "float32", tensor.name);
  }
  for (const node of g.nodes) {
    if (node.kind === "groupNorm") assert.equal(node.out.stats.type, "float32");
  }
});

Deno.test("a precision that there is not, or not on the adapter, is refused by name", () => {
  for (const adapter of [SOFTWARE, PLAIN_GPU, MATRIX_GPU, OLD_GPU]) checkPrecision(adapter, "float32");
  checkPrecision(MATRIX_GPU, "mixed");
  checkPrecision({ ...SOFTWARE, matrices: EMULATED_MATRICES }, "mixed");
  const cases: [AdapterDescription, string, string][] = [
    [OLD_GPU, "mixed", "float32, because the adapter Old Card has no shader-f16"],
    [
      PLAIN_GPU,
      "mixed",
      "float32, because the adapter Plain Card has no matrix units for float16 with float32 sums (backend dawn offers " +
      "those of a GPU)",
    ],
    [
      { ...PLAIN_GPU, backend: "dawn" },
      "mixed",
      "float32, because the adapter Plain Card has no matrix units for float16 with float32 sums",
    ],
    [
      MATRIX_GPU,
      "float16",
      "float32, or mixed with backend dawn on a GPU with matrix units (float16 without them ran at 0.53 x float32 on an " +
      "NVIDIA H200)",
    ],
    [MATRIX_GPU, "float8", "float32 or mixed"],
  ];
  for (const [adapter, precision, allowed] of cases) {
    assert.throws(() => checkPrecision(adapter, precision as Precision), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.message, `precision: expected ${allowed}, got "${precision}"`);
      return true;
    });
  }
});

Deno.test("mixed precision is the default with matrix units, but not with emulated ones", () => {
  assert.equal(defaultPrecision(MATRIX_GPU), "mixed");
  assert.equal(defaultPrecision(PLAIN_GPU), "float32");
  assert.equal(defaultPrecision({ ...SOFTWARE, matrices: EMULATED_MATRICES }), "float32");
  assert.equal(defaultPrecision({ ...MATRIX_GPU, features: [] }), "float32");
});

Deno.test("emulated matrix units are used on GPUs; software adapters have faster kernels", async () => {
  const { limits } = await testGpu();
  const matricesOn = (adapter: AdapterDescription) => kernelTarget({ adapter, limits }).matrices;
  assert.equal(matricesOn(MATRIX_GPU), MATRIX_GPU.matrices);
  assert.equal(matricesOn({ ...PLAIN_GPU, matrices: EMULATED_MATRICES }), EMULATED_MATRICES);
  assert.equal(matricesOn({ ...SOFTWARE, matrices: EMULATED_MATRICES }), undefined);
});

Deno.test("in mixed precision the time embedding and its gradients, sums over all pixels, are in float32", () => {
  const config = presetConfig("tiny", 10);
  const g = new Graph(storageType("mixed"));
  const output = unet(g, config, unetInputs(g, config, 2, true));
  recordBackward(g, output, { seed: g.input("seed", output.shape) });
  const vectors = g.nodes.flatMap((node) => [...inputsOf(node), ...outputsOf(node)]).filter(
    ({ role, type, shape: [, height, width] }) =>
      role === "activation" && type !== "uint32" && height * width === 1,
  );
  const gradients = vectors.filter(({ name }) => name.startsWith("d "));
  assert.ok(gradients.some(({ name }) => name.includes("time_emb_proj")));
  for (const { name, type } of vectors) assert.equal(type, "float32", name);
  assert.equal(output.type, "float16");
});
