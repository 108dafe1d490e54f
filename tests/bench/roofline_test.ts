/** The roofline model: what is counted, what is compared, and that the page adds up. */
import assert from "node:assert/strict";
import type { Launch } from "../../kernels/source.ts";
import { lowerContext } from "../../lib/graph/compile.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { lower } from "../../lib/graph/lower.ts";
import { conv2d } from "../../lib/graph/ops.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import type { Precision } from "../../lib/model/precision.ts";
import { efficiencyOf, FAMILIES, familyOf } from "../../bench/kernel_families.ts";
import { DISPATCH_SECONDS, nodeWork, type Roofline, rooflineOf } from "../../bench/roofline.ts";
import { rooflinePage } from "../../bench/roofline_page.ts";
import type { BenchReport } from "../../bench/report.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { runTask } from "../support/command.ts";
import { TILE } from "../support/gpu.ts";

const LIMITS = { fmaGflops: 50_000, fmaVariant: "", copyGigabytesPerSecond: 4000, copyVariant: "" };
const STEP = { work: "step", model: "tiny", batch: 8, precision: "float32", target: TILE } as const;

/** A profile of one replay with these calls and milliseconds by kernel. */
function profile(name: string, kernels: Readonly<Record<string, readonly [calls: number, ms: number]>>) {
  const entries = Object.entries(kernels).map(([name, [calls, milliseconds]]) => {
    return { name, calls: 2 * calls, milliseconds: 2 * milliseconds, share: 0, flops: 0, bytes: 0 };
  });
  return { name, replays: 2, milliseconds: 1, kernels: entries };
}

Deno.test("launches of a kernel divide a node's tensors among them, and use workspace whole", () => {
  const g = new Graph();
  const x = g.input("x", [2048, 32, 32, 32]);
  const weight = g.parameter("weight", "conv", [32, 32, 3, 3], { kind: "ones" });
  const bias = g.parameter("bias", "vector", [32], { kind: "zeros" });
  const y = conv2d(g, x, { weight, bias }, { kernel: 3, stride: 1, padding: 1 });
  const choose = (_: string, candidates: readonly string[]) => {
    return candidates.find((name) => name === "winograd4") ?? candidates[0]!;
  };
  const node = g.nodes[0]!;
  const launches = lower(lowerContext(g, { ...TILE, choose }), node);
  const work = nodeWork(node, launches);
  const bytesOf = (kernel: string) =>
    work.filter((each) => each.kernel.startsWith(kernel)).reduce((sum, { bytes }) => sum + bytes, 0);
  const scratch = (kernel: string, name: string) =>
    launches.filter((launch) => launch.kernel.name.startsWith(kernel))
      .reduce((sum, launch: Launch<Tensor>) => sum + launch.buffers[name]!.bytes, 0);
  const inputs = launches.filter((launch) => launch.kernel.name === "winograd4_input");
  assert.ok(inputs.length > 1, "several slices");
  assert.equal(bytesOf("winograd4_input"), x.bytes + scratch("winograd4_input", "transformed"));
  const outputs = scratch("winograd4_output", "products");
  assert.ok(bytesOf("winograd4_output") >= y.bytes + outputs);
  assert.ok(bytesOf("winograd4_output") <= y.bytes + outputs + weight.bytes + bias.bytes);
  const products = work.filter(({ operations }) => operations > 0);
  assert.equal(products.length, inputs.length);
  for (const { operations, flops } of products) assert.ok(operations / flops < 0.26);
});

Deno.test("floor and prediction follow from bytes, operations and the family's efficiency", () => {
  const { rows } = rooflineOf(STEP, { limits: LIMITS, profiles: [] });
  for (const { kernel, family, calls, bytes, operations, floor, predicted, measured } of rows) {
    assert.equal(family, familyOf(kernel));
    const dispatches = 1000 * calls * DISPATCH_SECONDS;
    const least = Math.max(bytes / 4000e9, operations / 50_000e9);
    assert.ok(floor >= (dispatches + 1000 * least) * (1 - 1e-9), kernel);
    const scaled = dispatches + (floor - dispatches) / efficiencyOf(family);
    assert.ok(Math.abs(predicted / scaled - 1) < 1e-9, kernel);
    assert.equal(measured, undefined);
  }
  assert.deepEqual(rows, rows.toSorted((a, b) => b.predicted - a.predicted));
  assert.ok(rows.some(({ kernel }) => kernel === "adamw.adamw"));
});

Deno.test("a measured kernel is matched by name and calls, in the profile of the same step", () => {
  const adamw = { "adamw.adamw": [1, 0.25] } as const;
  const measuredIn = (...profiles: ReturnType<typeof profile>[]) =>
    rooflineOf(STEP, { limits: LIMITS, profiles }).rows.filter(({ measured }) => measured !== undefined)
      .map(({ kernel, measured }) => [kernel, measured]);
  assert.deepEqual(measuredIn(profile("training step of tiny, batch 8", adamw)), [["adamw.adamw", 0.25]]);
  assert.deepEqual(measuredIn(profile("training step of tiny, batch 16", adamw)), []);
  assert.deepEqual(
    measuredIn(profile("training step of tiny, batch 8", { "adamw.adamw": [2, 1], "gone.main": [1, 1] })),
    [],
  );
});

Deno.test("a step in mixed precision has a profile of its own", () => {
  const profiles = [
    profile("training step of tiny, batch 8", { "adamw.adamw": [1, 1] }),
    profile("training step of tiny mixed, batch 8", { "adamw.adamw": [1, 0.5] }),
  ];
  const measured = (precision: Precision) =>
    rooflineOf({ ...STEP, precision }, { limits: LIMITS, profiles }).rows
      .find(({ kernel }) => kernel === "adamw.adamw")?.measured;
  assert.deepEqual([measured("float32"), measured("mixed")], [1, 0.5]);
});

Deno.test("dispatches are those that run: none for kept results, one for launches that are combined", () => {
  const target = { ...TILE, bindingBytes: 2 ** 31 };
  const [small, ...fewer] = ["small", "tiny"].map((model) =>
    rooflineOf({ ...STEP, model, batch: 128, target }, { limits: LIMITS, profiles: [] }).rows
  );
  const of = (rows: typeof small, kernel: RegExp) => rows!.filter((row) => kernel.test(row.kernel));
  const [transforms] = of(small, /^winograd4_weight_combined\./);
  // Each weight is transformed once for both passes, all in one dispatch: 36 values for 9 read.
  assert.equal(transforms?.calls, 1);
  const weights = transforms!.bytes / (4 * (36 + 9));
  assert.ok(weights > 5e5 && weights < 8_954_883 / 9, `${weights} pairs of channels`);
  for (const rows of [small, ...fewer]) assert.deepEqual(of(rows, /^winograd4_weight\./), []);
});

Deno.test("a network pass has a third of a step's operations, and none of what depends on weights alone", () => {
  const basis = {
    limits: LIMITS,
    profiles: [profile("sampling step of tiny, batch 8", { "activation.forward": [2, 1] })],
  };
  const both = (precision: Precision) =>
    (["step", "pass"] as const).map((work) => rooflineOf({ ...STEP, precision, work }, basis)) as [
      Roofline,
      Roofline,
    ];
  const flops = ({ rows }: Roofline) => rows.reduce((sum, row) => sum + row.flops, 0);
  const has = ({ rows }: Roofline, kernel: RegExp) => rows.some((row) => kernel.test(row.kernel));
  const onlyInSteps = { float32: /^winograd4_weight/, mixed: /^upsampled_weight/ };
  for (const [precision, ofWeights] of Object.entries(onlyInSteps)) {
    const [step, pass] = both(precision as Precision);
    assert.ok(Math.abs(3 * flops(pass) / flops(step) - 1) < 0.02);
    for (const kernel of [ofWeights, /backward/, /^adamw/]) {
      assert.deepEqual([has(step, kernel), has(pass, kernel)], [true, false], `${kernel}`);
    }
  }
  // Measured by a profile of sampling.
  assert.deepEqual(
    both("float32").map(({ rows }) => rows.some(({ measured }) => measured === 1)),
    [false, true],
  );
});

Deno.test("every family has an efficiency, and kernels of matrix units their own peak", () => {
  for (const family of FAMILIES) {
    assert.ok(family.measured !== undefined || family.expected !== undefined, family.name);
    assert.ok(efficiencyOf(family) > 0 && efficiencyOf(family) <= 1);
  }
  assert.equal(familyOf("conv2d_forward_half_matrix_128x64x32_128.main").limit, "matrix units");
  assert.equal(familyOf("conv2d_forward_tile_64x64x16_64.main").limit, "multiply-add");
  for (
    const kernel of [
      "group_norm_held8.forward_held",
      "upsample.forward",
      "winograd4_input.main",
      "sample_sums.add",
    ]
  ) {
    assert.equal(familyOf(kernel).limit, "copy", kernel);
  }
  assert.notEqual(
    familyOf("group_norm_held8.forward_held"),
    familyOf("group_norm_split_held8.backward_held"),
  );
  assert.notEqual(
    familyOf("winograd4_output_gradient.main"),
    familyOf("winograd4_weight_gradient_bias.main"),
  );
  assert.equal(familyOf("winograd4_output_gradient_row_bias.main"), familyOf("winograd4_input.main"));
  assert.equal(familyOf("winograd4_pixel_sums.main"), familyOf("spatial_sum.sum"));
});

Deno.test("the page's totals are the sums of its rows", () => {
  const environment = {
    adapter: { name: "Fake 9000" },
    driver: "Fake 1.2",
    date: "2026-01-02T03:04:05.000Z",
  } as unknown as BenchReport["environment"];
  const step = rooflineOf(STEP, { limits: LIMITS, profiles: [] });
  const page = rooflinePage({ environment, limits: LIMITS }, [step]);
  const cells = page.split("\n").filter((line) => /^\| \S+\.\S+ +\|/.test(line))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  assert.equal(cells.length, step.rows.length);
  const all = page.trimEnd().split("\n").at(-1)!.split("|").slice(1, -1).map((cell) => cell.trim());
  assert.equal(all[0], "all");
  const sum = (column: number) => cells.reduce((total, row) => total + Number(row[column]), 0);
  for (const column of [1, 2, 3, 4, 5, 6]) {
    assert.ok(Math.abs(sum(column) / Number(all[column]) - 1) < 0.01, `column ${column}`);
  }
  assert.match(page, new RegExp(`Predicted: ${all[6]} ms a step`));
});

Deno.test("the task writes the page with the limits of a named report, and says what is wrong with one", async () => {
  await inTemporaryDirectory(async (directory) => {
    const written = await runTask("roofline", ["--batch", "2", "--out", "page.md"], directory);
    assert.deepEqual([written.code, written.err], [0, ""]);
    const page = await Deno.readTextFile(`${directory}/page.md`);
    assert.match(page, /NVIDIA H200[^]*## `ddpm` in float32, batch 2\n[^]*## `small` in float32, batch 2\n/);
    assert.match(page, /## `ddpm` in float32, batch 2, network pass of sampling\n\nPredicted: .* passes\/s/);
    assert.match(page, /## `ddpm` in mixed precision, batch 2\n[^]*## `small` in mixed precision, batch 2\n/);
    const only = await runTask("roofline", ["--batch", "2", "--precision", "mixed"], directory);
    assert.doesNotMatch(only.out, /in float32, batch/);
    await Deno.writeTextFile(`${directory}/bad.json`, "{}");
    const refused = await runTask("roofline", ["--report", "bad.json"], directory);
    assert.equal(refused.code, 2);
    assert.match(refused.err, /^error: --report: .*bad\.json/);
  });
});
