/**
 * Check of matrix units when a device is opened: a driver may support the experimental WGSL and compute something else. Small
 * products with odd sizes, one for each pair of orders in which matrices are loaded, are compared with their emulation.
 *
 * @module
 */
import { allMatrixLayouts, matrixLayoutName } from "../../kernels/products/gemm_matrix_layouts.ts";
import { matmul, type MatmulShape } from "../../kernels/products/matmul.ts";
import type { Launch } from "../../kernels/source.ts";
import { EMULATED_MATRICES, type KernelTarget, type MatrixUnits } from "../../kernels/target.ts";
import { writeScalar } from "../../kernels/records/record.ts";
import { type SubgroupDirective, withDirectives } from "./wgsl.ts";

/** Sizes of a product: more than one tile of any layout in both directions, and a k that no matrix size divides. */
const [ROWS, COLUMNS, DEPTH] = [133, 137, 75];
/** Elements per row of every matrix: the largest size, padded. */
const STRIDE = 140;
const MATRIX = STRIDE * STRIDE;

/** Transpositions of A and B. */
const ORDERS = [[false, false], [false, true], [true, false], [true, true]] as const;

/**
 * Difference allowed between sums of `DEPTH` products of numbers in [-1, 1), in another order and with other roundings to
 * float16: half a unit in the last place of a sum below 32, 2^-7, on either side.
 */
const TOLERANCE = 2 ** -6;

/** Device to check, before it is in use. */
export interface CheckedDevice {
  readonly device: GPUDevice;
  /** Directive for subgroup operations in WGSL. */
  readonly subgroups: SubgroupDirective;
}

/**
 * Matrix units for products from now on: none if they fail {@linkcode matrixFault}, so that products take the layouts without.
 *
 * @param units units of the adapter; emulated ones need no check
 * @param name adapter's name in the warning
 * @param warn told once what is wrong
 */
export async function checkedUnits(
  on: CheckedDevice,
  units: MatrixUnits | undefined,
  name: string,
  warn: (message: string) => void = console.warn,
): Promise<MatrixUnits | undefined> {
  if (!units || units.dialect === "emulation") return units;
  const fault = await matrixFault(on, units);
  if (fault === undefined) return units;
  warn(`the matrix units of ${name} are not used, because they fail a check: ${fault}`);
  return undefined;
}

/** Says what is wrong with matrix units of a device; undefined if they compute what their emulation does. */
export async function matrixFault(on: CheckedDevice, units: MatrixUnits): Promise<string | undefined> {
  const { device } = on;
  device.pushErrorScope("validation");
  let difference: string | undefined;
  let thrown: Error | undefined;
  try {
    difference = await compare(on, units);
  } catch (error) {
    thrown = error as Error;
  }
  const invalid = await device.popErrorScope();
  return invalid?.message ?? thrown?.message ?? difference;
}

/** Compares products on the units with those of their emulation. */
async function compare(on: CheckedDevice, units: MatrixUnits): Promise<string | undefined> {
  const workgroupBytes = on.device.limits.maxComputeWorkgroupStorageSize;
  const layouts = allMatrixLayouts(units, workgroupBytes).map(matrixLayoutName);
  if (layouts.length === 0) return "no layout suits their matrices";
  // The smallest layout compiles fastest, and all give the same bits.
  const last = allMatrixLayouts(EMULATED_MATRICES, workgroupBytes).map(matrixLayoutName).at(-1)!;
  const target: KernelTarget = { path: "tile", subgroupSize: 0, half: true, workgroupBytes };
  for (const [transposedA, transposedB] of ORDERS) {
    const run = (matrices: MatrixUnits, layout: string) =>
      product(on, { ...target, matrices, choose: () => layout }, transposedA, transposedB);
    const [actual, expected] = [await run(units, layouts[0]!), await run(EMULATED_MATRICES, last)];
    const at = expected.findIndex((value, i) => !(Math.abs(actual[i]! - value) <= TOLERANCE));
    if (at < 0) continue;
    const name = `${transposedA ? "A^T" : "A"} ${transposedB ? "B^T" : "B"}`;
    const place = `row ${Math.floor(at / STRIDE)}, column ${at % STRIDE}`;
    return `${name} has ${actual[at]} in ${place}, not ${expected[at]}`;
  }
  return undefined;
}

/** Product of two matrices, of which either may be transposed. */
async function product(
  { device, subgroups }: CheckedDevice,
  target: KernelTarget,
  transposedA: boolean,
  transposedB: boolean,
): Promise<Float16Array> {
  const layout = { rowStride: STRIDE, batchStride: 0, headStride: 0 };
  const shape: MatmulShape = {
    ...{ batch: 1, heads: 1, m: ROWS, n: COLUMNS, k: DEPTH, alpha: 1, c: layout },
    ...{ a: { ...layout, transposed: transposedA }, b: { ...layout, transposed: transposedB } },
  };
  const buffers: GPUBuffer[] = [];
  const buffer = (usage: number, contents: ArrayBuffer) => {
    const created = device.createBuffer({ size: contents.byteLength, usage });
    device.queue.writeBuffer(created, 0, contents);
    buffers.push(created);
    return created;
  };
  try {
    const [a, b] = [buffer(STORAGE, operand(1)), buffer(STORAGE, operand(2))];
    const c = buffer(STORAGE | COPY_SRC, new ArrayBuffer(2 * MATRIX));
    const staging = buffer(MAP_READ, new ArrayBuffer(2 * MATRIX));
    const [launch] = matmul<GPUBuffer>(target, shape, { a, b, c }, "check of matrix units") as [
      Launch<GPUBuffer>,
    ];
    const { kernel, entry } = launch;
    const fields = Object.entries(kernel.params);
    const params = new DataView(new ArrayBuffer(16 * Math.ceil(fields.length / 4)));
    fields.forEach(([name, type], i) => writeScalar(params, 4 * i, type, launch.params[name]!));
    const module = device.createShaderModule({
      code: withDirectives(kernel.code, subgroups),
      label: kernel.name,
    });
    const compute = { module, entryPoint: entry };
    const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute });
    const entries = [
      { binding: 0, resource: { buffer: buffer(UNIFORM, params.buffer) } },
      ...Object.entries(launch.buffers).map(([name, buffer]) => ({
        binding: kernel.bindings[name]!.binding,
        resource: { buffer },
      })),
    ];
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(...launch.workgroups);
    pass.end();
    encoder.copyBufferToBuffer(c, 0, staging, 0, 2 * MATRIX);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_MODE_READ);
    return new Float16Array(staging.getMappedRange().slice(0));
  } finally {
    for (const created of buffers) created.destroy();
  }
}

/** A matrix of numbers in [-1, 1) that repeat in no row or column: multiples of an irrational number, modulo 2. */
function operand(seed: number): ArrayBuffer {
  return Float16Array.from({ length: MATRIX }, (_, i) => (i + 1) * seed * Math.SQRT2 % 2 - 1).buffer;
}

/** Usages of buffers (GPUBufferUsage), each with COPY_DST, and GPUMapMode.READ. */
const [MAP_READ, COPY_SRC, UNIFORM, STORAGE, MAP_MODE_READ] = [0x9, 0x4, 0x48, 0x88, 1];
