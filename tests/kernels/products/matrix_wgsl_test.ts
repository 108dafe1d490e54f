/** WGSL for real matrix units, validated by Dawn's null backend, which needs no GPU. */
import assert from "node:assert/strict";
import { forwardProblem, inputGradientProblem } from "../../../kernels/products/conv2d_source.ts";
import {
  UPSAMPLED_FORWARD,
  UPSAMPLED_WEIGHT_GRADIENT,
} from "../../../kernels/products/conv2d_upsampled_source.ts";
import { weightGradientProblem } from "../../../kernels/products/conv2d_weight_source.ts";
import { gemmMatrix } from "../../../kernels/products/gemm_matrix.ts";
import { matrixWorkgroupBytes } from "../../../kernels/products/gemm_matrix_tile.ts";
import { allMatrixLayouts, matrixLayoutName } from "../../../kernels/products/gemm_matrix_layouts.ts";
import type { GemmProblem } from "../../../kernels/products/gemm_problem.ts";
import { ADD, matmulProblem, SOFTMAX_GRADIENT } from "../../../kernels/products/matmul_source.ts";
import type { KernelSource } from "../../../kernels/source.ts";
import type { KernelTarget, MatrixUnits } from "../../../kernels/target.ts";
import { lowerContext } from "../../../lib/graph/compile.ts";
import type { Graph } from "../../../lib/graph/graph.ts";
import { lower } from "../../../lib/graph/lower.ts";
import { recordForward } from "../../../lib/model/network.ts";
import { CIFAR10_PRESETS, presetConfig } from "../../../lib/model/presets.ts";
import { trainingGraph } from "../../../lib/train/device/step_graph.ts";
import { messagesOf, openNullDawn } from "../../support/null_dawn.ts";

const dawn = await openNullDawn();
if (typeof dawn === "string") console.log(`no test of WGSL for matrix units: ${dawn}`);
const ignore = typeof dawn === "string";

/** Errors and warnings of a kernel. */
const messages = (code: string, entry?: string) =>
  typeof dawn === "string" ? [] : messagesOf(dawn, code, entry);

/** The null backend's subgroups have 4 to 128 lanes. */
function units(subgroupSize: number, [rows, columns, depth]: readonly [number, number, number]): MatrixUnits {
  return { dialect: "subgroup_matrix", subgroupSize, sizeControl: true, shapes: [{ rows, columns, depth }] };
}

const NVIDIA = units(32, [16, 16, 16]);
const EMULATED: MatrixUnits = { ...NVIDIA, dialect: "emulation" };
const OTHERS = { Apple: units(32, [8, 8, 8]), Intel: units(16, [8, 16, 16]) };

const PROBLEMS: readonly GemmProblem[] = [
  ...(["flat", "joined", "window"] as const).map((form) => forwardProblem(form)),
  ...(["flat", "joined", "row", "rows"] as const).map(weightGradientProblem),
  ...(["flat", "window", "strided", "upsampled"] as const).map(inputGradientProblem),
  ...[UPSAMPLED_FORWARD, UPSAMPLED_WEIGHT_GRADIENT],
  ...[false, true].flatMap((transposedA) =>
    [false, true].flatMap((transposedB) =>
      [ADD, SOFTMAX_GRADIENT].flatMap((epilogue) =>
        [false, true].map((scalar) => matmulProblem({ transposedA, transposedB, scalar, epilogue }))
      )
    )
  ),
];

Deno.test({ name: "Dawn reports what is wrong with a kernel", ignore }, async () => {
  const kernel = (line: string) => `@compute @workgroup_size(64) fn main() { ${line} }`;
  assert.deepEqual(await messages(kernel(""), "main"), []);
  assert.match((await messages(kernel("nothing();")))[0], /error in line 1: .*nothing/);
  assert.match((await messages(kernel("").replace("64", "65536"), "main"))[0], /workgroup/);
});

for (const bytes of [16384, 32768, 49152]) {
  for (const layout of allMatrixLayouts(NVIDIA, bytes)) {
    const name = `${matrixLayoutName(layout)} in ${bytes / 1024} KiB`;
    Deno.test(
      { name: `Dawn accepts the kernels of a layout for matrix units: ${name}`, ignore },
      async () => {
        assert.ok(matrixWorkgroupBytes(layout) <= bytes);
        // A pipeline is created if the null device has the memory.
        const fits = typeof dawn !== "string" && matrixWorkgroupBytes(layout) <= dawn.workgroupBytes;
        for (const problem of PROBLEMS) {
          const code = gemmMatrix(problem, layout);
          assert.deepEqual(await messages(code, fits ? "main" : undefined), [], problem.name);
        }
      },
    );
  }
}

// The check of matrix units compiles it there.
Deno.test({ name: "Dawn accepts the emulation", ignore }, async () => {
  for (const layout of allMatrixLayouts(EMULATED, 32768)) {
    for (const problem of PROBLEMS) {
      const what = `${problem.name} ${matrixLayoutName(layout)}`;
      assert.deepEqual(await messages(gemmMatrix(problem, layout)), [], what);
    }
  }
});

for (const [vendor, other] of Object.entries(OTHERS)) {
  Deno.test({ name: `Dawn accepts the kernels for matrices of ${vendor}'s size`, ignore }, async () => {
    for (const layout of allMatrixLayouts(other, 32768)) {
      for (const problem of PROBLEMS) {
        const what = `${problem.name} ${matrixLayoutName(layout)}`;
        assert.deepEqual(await messages(gemmMatrix(problem, layout)), [], what);
      }
    }
  });
}

/** Distinct kernels of a graph. */
function kernelsOf(g: Graph, target: KernelTarget): Set<KernelSource> {
  const context = lowerContext(g, target);
  return new Set(g.nodes.flatMap((node) => lower(context, node)).map(({ kernel }) => kernel));
}

const validated = new Set<KernelSource>();
for (const preset of CIFAR10_PRESETS) {
  for (const batch of [1, 128]) {
    const name = `Dawn accepts every kernel of ${preset} on matrix units at batch ${batch}`;
    Deno.test({ name, ignore }, async () => {
      const config = presetConfig(preset, 10);
      const target: KernelTarget = {
        ...{ path: "tile", subgroupSize: 32, matrices: NVIDIA, workgroupBytes: 49152 },
      };
      const graphs = [
        trainingGraph({ config, batch, precision: "mixed" }),
        recordForward(config, batch, "mixed").g,
      ];
      const kernels = new Set(graphs.flatMap((g) => [...kernelsOf(g, target)]));
      const products = [...kernels].filter((kernel) => /^(conv2d|matmul)/.test(kernel.name));
      // The dense layers of the time embedding are in float32.
      for (const { name } of products) assert.match(name, /_half_matrix_|sum_parts|_flat_tile_/);
      for (const kernel of kernels) {
        if (validated.has(kernel)) continue;
        validated.add(kernel);
        assert.deepEqual(await messages(kernel.code), [], kernel.name);
      }
    });
  }
}
