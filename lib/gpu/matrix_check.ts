/**
 * Check of matrix units before their first use: a driver may support the experimental WGSL and compute something else. Each kind
 * of kernel is compared with its emulation on small problems, whose results are exact.
 *
 * @module
 */
import { allMatrixLayouts, matrixLayoutName } from "../../kernels/products/gemm_matrix_layouts.ts";
import { EMULATED_MATRICES, type KernelTarget, type MatrixUnits } from "../../kernels/target.ts";
import type { Gpu } from "./device.ts";
import { type HostArray, runOnArrays } from "./host_arrays.ts";
import { MATRIX_CASES, type MatrixCase } from "./matrix_cases.ts";

const checked = new WeakMap<Gpu, Promise<void>>();

/**
 * Checks the matrix units of a device, once, before their first use. If they fail, one warning says so, and the device has none
 * from then on. Emulated ones need no check.
 *
 * @param faultOf says what is wrong with units, undefined if nothing is; default {@linkcode matrixFault}
 * @throws {DeviceError} if the device was lost or closed
 */
export function checkMatrices(
  gpu: Gpu,
  onWarning: (message: string) => void = console.warn,
  faultOf: (gpu: Gpu, units: MatrixUnits) => Promise<string | undefined> = matrixFault,
): Promise<void> {
  const { matrices, name } = gpu.adapter;
  if (!matrices || matrices.dialect === "emulation") return Promise.resolve();
  let check = checked.get(gpu);
  if (!check) {
    check = faultOf(gpu, matrices).then((fault) => {
      if (fault === undefined) return;
      gpu.rejectMatrices(fault);
      onWarning(`the matrix units of ${name} are not used, because they fail a check: ${fault}`);
    });
    checked.set(gpu, check);
  }
  return check;
}

/**
 * Says what is wrong with matrix units of a device; undefined if they compute what their emulation does.
 *
 * @param kinds kinds of kernels to check; default all
 * @throws {DeviceError} if the device was lost or closed
 */
export async function matrixFault(
  gpu: Gpu,
  units: MatrixUnits,
  kinds: readonly string[] = Object.keys(MATRIX_CASES),
): Promise<string | undefined> {
  const workgroupBytes = gpu.limits.maxComputeWorkgroupStorageSize;
  const layouts = allMatrixLayouts(units, workgroupBytes).map(matrixLayoutName);
  if (layouts.length === 0) return "no layout suits their matrices";
  // The smallest layout compiles fastest, and all give the same results.
  const emulated = allMatrixLayouts(EMULATED_MATRICES, workgroupBytes).map(matrixLayoutName).at(-1)!;
  const target: KernelTarget = { path: "tile", subgroupSize: 0, half: true, workgroupBytes };
  const all = Object.keys(MATRIX_CASES);
  const faults = await Promise.all(kinds.map(async (kind) => {
    // Kinds take layouts in turn, so that most are checked with one.
    const layout = layouts[all.indexOf(kind) % layouts.length]!;
    const run = (matrices: MatrixUnits, layout: string, launches: MatrixCase) =>
      runOnArrays(gpu, launches({ ...target, matrices, choose: () => layout }));
    try {
      for (const launches of MATRIX_CASES[kind]!) {
        const [actual, expected] = [
          await run(units, layout, launches),
          await run(EMULATED_MATRICES, emulated, launches),
        ];
        const difference = differenceOf(actual, expected);
        if (difference !== undefined) return `${kind} in layout ${layout} has ${difference}`;
      }
    } catch (error) {
      if (gpu.fault) throw gpu.fault;
      return (error as Error).message;
    }
  }));
  return faults.find((fault) => fault !== undefined);
}

/** The first difference between results. */
function differenceOf(actual: readonly HostArray[], expected: readonly HostArray[]): string | undefined {
  for (const [i, values] of expected.entries()) {
    // What a kernel does not write remains NaN.
    const at = values.findIndex((value, at) => {
      const result = actual[i]![at]!;
      return result !== value && !(Number.isNaN(result) && Number.isNaN(value));
    });
    if (at >= 0) return `${actual[i]![at]} at ${at}, not ${values[at]}`;
  }
}
