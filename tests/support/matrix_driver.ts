/** A GPU with matrix units on the test's adapter: its driver replaces their kernels by the emulated ones. */
import { EMULATED_MATRICES, type KernelTarget, type MatrixUnits } from "../../kernels/target.ts";
import { Gpu } from "../../lib/gpu/device.ts";
import { MATRIX_CASES } from "../../lib/gpu/matrix_cases.ts";
import { testGpu } from "./gpu.ts";

/** Matrices of another size than those of the emulation that the check compares with: sums are in another order. */
const EMULATED: MatrixUnits = { ...EMULATED_MATRICES, shapes: [{ rows: 8, columns: 16, depth: 16 }] };

/** Units of {@linkcode matrixGpu}. */
export const UNITS: MatrixUnits = { ...EMULATED, dialect: "subgroup_matrix" };

/** Kernel on matrix units: its kind and layout. */
const NAME = /^(.+)_half_(matrix_.+)$/;

/**
 * A GPU with matrix units. Closing it closes the test's device.
 *
 * @param change what the driver makes of the WGSL of a kind of kernels; default what it should
 * @param software where no product is on the matrix units, other kernels are those of a software adapter, which compile faster
 */
export async function matrixGpu(
  change = (code: string, _kind: string): string => code,
  software = false,
): Promise<Gpu> {
  const { device, adapter, subgroups, limits } = await testGpu();
  const workgroupBytes = limits.maxComputeWorkgroupStorageSize;
  const emulated = (kind: string, layout: string): string => {
    const target: KernelTarget = {
      ...{ path: "tile", subgroupSize: 0, half: true, workgroupBytes, matrices: EMULATED },
      choose: () => layout,
    };
    return MATRIX_CASES[kind][0](target).find(({ kernel }) => NAME.test(kernel.name))!.kernel.code;
  };
  const createShaderModule = (descriptor: GPUShaderModuleDescriptor) => {
    const [, kind, layout] = NAME.exec(descriptor.label ?? "") ?? [];
    if (kind === undefined || !descriptor.code.includes("chromium_experimental_subgroup_matrix")) {
      return device.createShaderModule(descriptor);
    }
    return device.createShaderModule({ ...descriptor, code: change(emulated(kind, layout), kind) });
  };
  const driver = new Proxy(device, {
    get: (_, key) => {
      const value = key === "createShaderModule" ? createShaderModule : Reflect.get(device, key, device);
      return typeof value === "function" ? value.bind(device) : value;
    },
  });
  const description = { ...adapter, name: "Matrix Card", software, matrices: UNITS };
  return new Gpu(driver, description, {}, subgroups);
}
