import assert from "node:assert/strict";
import { EMULATED_MATRICES, type MatrixUnits } from "../../kernels/target.ts";
import { checkedUnits, matrixFault } from "../../lib/gpu/matrix_check.ts";
import { testGpu } from "../support/gpu.ts";

/** What the check says of units, with the device's driver or another. */
async function faultOf(units: MatrixUnits, device?: GPUDevice): Promise<string | undefined> {
  const gpu = await testGpu();
  return await matrixFault({ device: device ?? gpu.device, subgroups: gpu.subgroups }, units);
}

/** Units of another size than the emulation that they are compared with, so that their sums are in another order. */
const UNITS: MatrixUnits = { ...EMULATED_MATRICES, shapes: [{ rows: 8, columns: 16, depth: 16 }] };
/** Type of their results in WGSL. */
const RESULT = "alias Result = array<f32, 4>;";

/** The device with a driver that compiles the kernels of {@linkcode UNITS} to something else. */
async function wrongDriver(change: (code: string) => string): Promise<GPUDevice> {
  const { device } = await testGpu();
  const createShaderModule = ({ code, ...rest }: GPUShaderModuleDescriptor) =>
    device.createShaderModule({ ...rest, code: code.includes(RESULT) ? change(code) : code });
  return new Proxy(device, {
    get: (_, key) => {
      const value = key === "createShaderModule" ? createShaderModule : Reflect.get(device, key, device);
      return typeof value === "function" ? value.bind(device) : value;
    },
  });
}

Deno.test("matrix units that compute what their emulation does pass the check", async () => {
  assert.equal(await faultOf(UNITS), undefined);
  assert.equal(await faultOf(UNITS, await wrongDriver((code) => code)), undefined);
});

const FAULTS: Record<string, (code: string) => string> = {
  "forget the sum so far": (code) => code.replace("var sum = sums[e];", "var sum = 0.0;"),
  "take the next depth": (code) => code.replace("f32(stage_a[left +", "f32(stage_a[1u + left +"),
  "store to the wrong row": (code) => code.replace("results[offset + row *", "results[offset + (row ^ 1u) *"),
};

for (const [what, change] of Object.entries(FAULTS)) {
  Deno.test(`matrix units that ${what} fail the check, which names an element`, async () => {
    const fault = await faultOf(UNITS, await wrongDriver(change));
    assert.match(fault ?? "", /^A(\^T)? B(\^T)? has \S+ in row \d+, column \d+, not \S+$/);
  });
}

Deno.test("matrix units whose kernels do not compile fail the check, and the device stays usable", async () => {
  assert.match(
    await faultOf({ ...EMULATED_MATRICES, dialect: "subgroup_matrix" }) ?? "",
    /matmul_nn_half_matrix/,
  );
  assert.equal((await testGpu()).fault, undefined);
  assert.equal(await faultOf(UNITS), undefined);
});

Deno.test("an adapter whose matrix units fail the check has none, with one warning", async () => {
  const { device, subgroups } = await testGpu();
  const warnings: string[] = [];
  const check = (units: MatrixUnits | undefined) =>
    checkedUnits({ device, subgroups }, units, "this adapter", (message) => warnings.push(message));
  assert.equal(await check(undefined), undefined);
  assert.equal(await check(EMULATED_MATRICES), EMULATED_MATRICES);
  assert.deepEqual(warnings, []);
  assert.equal(await check({ ...EMULATED_MATRICES, dialect: "subgroup_matrix" }), undefined);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /^the matrix units of this adapter are not used, because they fail a check: /);
});
