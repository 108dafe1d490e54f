/** The check of matrix units, on a GPU whose driver emulates them, rightly or wrongly. */
import assert from "node:assert/strict";
import { EMULATED_MATRICES } from "../../kernels/target.ts";
import { DeviceError } from "../../lib/errors.ts";
import { Gpu } from "../../lib/gpu/device.ts";
import { MATRIX_CASES } from "../../lib/gpu/matrix_cases.ts";
import { checkMatrices, matrixFault } from "../../lib/gpu/matrix_check.ts";
import { testGpu } from "../support/gpu.ts";
import { matrixGpu, UNITS } from "../support/matrix_driver.ts";

const KINDS = Object.keys(MATRIX_CASES);
const right = await matrixGpu();

/** Replaces text that must be there. */
const replaced = (code: string, from: string | RegExp, to: string): string => {
  assert.match(code, typeof from === "string" ? new RegExp(RegExp.escape(from)) : from);
  return code.replace(from, to);
};

/** Faults of drivers. */
const FAULTS: Readonly<Record<string, (code: string) => string>> = {
  "forget the sum so far": (code) => replaced(code, "var sum = sums[e];", "var sum = 0.0;"),
  "leave out a slice of k": (code) => replaced(code, /(lane >> 16u; k < )(\d+)u; k\+\+/, "$1$2u - 1u; k++"),
  "load with another stride": (code) =>
    replaced(code, /(f32\(stage_a\[left \+ \S+ \* )(\d+)u/, "$1($2u - 1u)"),
  "load A as if it were transposed": (code) =>
    replaced(code, /(f32\(stage_a\[left \+ )(row|k)( \* \d+u \+ )(row|k)( \/ 4u\]\[)(row|k)/, "$1$4$3$2$5$2"),
  "store a matrix transposed": (code) =>
    replaced(
      code,
      /(results\[offset \+ )row( \* \d+u \+ )column \/ 4u\]\[column % 4u\]/,
      "$1column % 8u$2(row + column / 8u * 8u) / 4u][row % 4u]",
    ),
  "store to the wrong row": (code) =>
    replaced(code, "results[offset + row *", "results[offset + (row ^ 1u) *"),
};

/** The fault of a kind is one of {@linkcode FAULTS}, each of which some kind has. */
const faultOf = (kind: string) => {
  const faults = Object.entries(FAULTS);
  return faults[KINDS.indexOf(kind) % faults.length];
};

// Dawn compiles for seconds what Deno does in one.
const few = right.adapter.backend === "dawn" ? 2 : KINDS.length;

for (const kind of KINDS.slice(-few)) {
  const [what, change] = faultOf(kind);
  Deno.test(`matrix units pass the check of ${kind}, unless they ${what}`, async () => {
    assert.equal(await matrixFault(right, UNITS, [kind]), undefined);
    const wrong = await matrixGpu((code, of) => of === kind ? change(code) : code);
    const fault = await matrixFault(wrong, UNITS, [kind]);
    assert.match(fault ?? "", new RegExp(`^${kind} in layout matrix_\\S+ has \\S+ at \\d+, not \\S+$`));
  });
}

// Results in float16 do not show them.
Deno.test("sums in float16 fail the check of weight gradients", async () => {
  const rounded = "unpack2x16float(pack2x16float(vec2f(sum))).x"; // llvmpipe leaves out f32(f16(sum))
  const wrong = await matrixGpu((code) => replaced(code, "sums[e] = sum;", `sums[e] = ${rounded};`));
  const fault = await matrixFault(wrong, UNITS, ["conv2d_backward_weight_flat"]);
  assert.match(fault ?? "", /^conv2d_backward_weight_flat in layout /);
});

Deno.test("operands with a shorter mantissa fail the check of weight gradients", async () => {
  const short = "bitcast<f32>(0xffff0000u & bitcast<u32>(f32(stage_a["; // bfloat16
  const wrong = await matrixGpu((code) => replaced(code, /f32\(stage_a\[(.+?\]\[.+?\])\)/, `${short}$1)))`));
  const fault = await matrixFault(wrong, UNITS, ["conv2d_backward_weight_rows"]);
  assert.match(fault ?? "", /^conv2d_backward_weight_rows in layout /);
});

Deno.test("a part of a split sum that lacks its last turn fails the check", async () => {
  const change = (code: string) => replaced(code, "let last = min(", "let last = max(first + 1u, ~0u + min(");
  const wrong = await matrixGpu((code) => replaced(change(code), "params.turns);", "params.turns));"));
  const fault = await matrixFault(wrong, UNITS, ["conv2d_backward_weight_rows"]);
  assert.match(fault ?? "", /^conv2d_backward_weight_rows in layout /);
});

Deno.test("matrix units whose kernels do not compile fail the check, and the device stays usable", async () => {
  const wrong = await matrixGpu(() => "no WGSL");
  assert.match(await matrixFault(wrong, UNITS, ["matmul_nn"]) ?? "", /^kernel matmul_nn_half_matrix/);
  assert.equal(wrong.fault, undefined);
});

Deno.test("matrix units are checked once, and if they fail, the adapter has none, with one warning", async () => {
  const gpu = await matrixGpu();
  const warnings: string[] = [];
  const check = () =>
    checkMatrices(gpu, (message) => warnings.push(message), () => Promise.resolve("they multiply wrongly"));
  await Promise.all([check(), check()]);
  await check();
  assert.deepEqual(warnings, [
    "the matrix units of Matrix Card are not used, because they fail a check: they multiply wrongly",
  ]);
  assert.equal(gpu.adapter.matrices, undefined);
  assert.equal(gpu.adapter.matrixFault, "they multiply wrongly");
});

Deno.test("matrix units that pass stay, and emulated ones are not checked", async () => {
  const gpu = await matrixGpu();
  let checks = 0;
  const pass = () => Promise.resolve(void checks++);
  for (let i = 0; i < 2; i++) await checkMatrices(gpu, assert.fail, pass);
  assert.deepEqual([gpu.adapter.matrices, checks], [UNITS, 1]);
  await checkMatrices(await testGpu(), assert.fail, pass);
  assert.equal(checks, 1);
});

Deno.test("a device that is lost while its matrix units are checked is a fault of the device", async () => {
  const { device, adapter, subgroups } = await testGpu();
  const gpu = new Gpu(device, { ...adapter, matrices: EMULATED_MATRICES }, {}, subgroups);
  Object.defineProperty(gpu, "fault", { value: new DeviceError("lost") });
  Object.defineProperty(gpu, "device", {
    get: () => {
      throw gpu.fault;
    },
  });
  await assert.rejects(matrixFault(gpu, EMULATED_MATRICES, ["matmul_nn"]), /lost/);
});
