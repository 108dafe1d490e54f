/**
 * Recorded dispatches: pipelines, bind groups and shape uniforms are created once, then the list is replayed.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import { writeScalar } from "../../kernels/records/record.ts";
import { DeviceError } from "../errors.ts";
import type { Gpu } from "./device.ts";
import { mebibytes } from "./budget.ts";
import { alignUp, BINDING_ALIGNMENT, type BufferView, createBuffer, destroyBuffer } from "./memory.ts";

/** Dispatch with its pipeline and bind group. */
export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
  readonly label: string;
  /** Kernel and entry point, e.g. `group_norm.forward`. */
  readonly kernel: string;
  /** Floating-point operations of matrix products; 0 for memory-bound kernels. */
  readonly flops: number;
  /** Bytes of the bound buffer ranges: an upper bound on memory traffic if only part of a range is used. */
  readonly bytes: number;
}

/** List of dispatches that is replayed without creating any objects. */
export class Program {
  readonly dispatches: readonly Dispatch[];
  readonly #gpu: Gpu;
  // Contiguous arrays for recording, since other work evicts the CPU caches between steps.
  readonly #pipelines: GPUComputePipeline[];
  readonly #bindGroups: GPUBindGroup[];
  readonly #workgroups: Uint32Array;
  #uniforms: GPUBuffer | undefined;

  /** Use {@linkcode buildProgram}. */
  constructor(gpu: Gpu, dispatches: Dispatch[], uniforms: GPUBuffer | undefined) {
    this.#gpu = gpu;
    this.dispatches = dispatches;
    this.#pipelines = dispatches.map(({ pipeline }) => pipeline);
    this.#bindGroups = dispatches.map(({ bindGroup }) => bindGroup);
    this.#workgroups = Uint32Array.from(dispatches.flatMap(({ workgroups }) => workgroups));
    this.#uniforms = uniforms;
  }

  /** Floating-point operations of the matrix products in one replay. */
  get flops(): number {
    return this.dispatches.reduce((sum, dispatch) => sum + dispatch.flops, 0);
  }

  /** Records every dispatch into a compute pass. */
  record(pass: GPUComputePassEncoder): void {
    const [pipelines, bindGroups, workgroups] = [this.#pipelines, this.#bindGroups, this.#workgroups];
    let bound: GPUComputePipeline | undefined;
    // One bind group and three workgroup counts per pipeline.
    for (let i = 0; i < pipelines.length; i++) {
      const pipeline = pipelines[i]!;
      if (pipeline !== bound) pass.setPipeline(bound = pipeline);
      pass.setBindGroup(0, bindGroups[i]!);
      pass.dispatchWorkgroups(workgroups[3 * i]!, workgroups[3 * i + 1]!, workgroups[3 * i + 2]!);
    }
  }

  /** Records and submits one replay. */
  run(): void {
    runPrograms(this.#gpu, [this]);
  }

  /** Frees the shape uniforms; the bound storage buffers belong to the caller. */
  destroy(): void {
    if (this.#uniforms) destroyBuffer(this.#gpu, this.#uniforms);
    this.#uniforms = undefined;
  }
}

/** Hook that replays programs itself, or returns false to leave them to {@linkcode runPrograms}. */
export type Replayer = (programs: readonly Program[]) => boolean;

const replayers = new WeakMap<Gpu, Replayer>();

/** Installs a replayer for a device, e.g. one with timestamps; undefined removes it. */
export function setReplayer(gpu: Gpu, replayer: Replayer | undefined): void {
  if (replayer) replayers.set(gpu, replayer);
  else replayers.delete(gpu);
}

/** Replays programs in order in one compute pass and one submit. */
export function runPrograms(gpu: Gpu, programs: readonly Program[]): void {
  if (replayers.get(gpu)?.(programs)) return;
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const program of programs) program.record(pass);
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
}

/**
 * Creates pipelines and bind groups for a list of launches.
 *
 * @throws {DeviceError} naming the kernel that the device rejects, the buffer that is too large to bind, or the dispatch
 *   with too many workgroups; nothing stays allocated
 */
export async function buildProgram(gpu: Gpu, launches: readonly Launch<BufferView>[]): Promise<Program> {
  const slots: number[] = [];
  let total = 0;
  for (const { kernel } of launches) {
    slots.push(total);
    total += alignUp(4 * Object.keys(kernel.params).length, BINDING_ALIGNMENT);
  }
  const label = `parameters of ${launches.length} dispatches, the first ${launches[0]?.label}`;
  const uniforms = total > 0 ? createBuffer(gpu, total, label, "uniform") : undefined;
  const host = new DataView(new ArrayBuffer(total));
  const ready = Promise.all(launches.map(async (launch, i): Promise<Dispatch> => {
    const { kernel, entry } = launch;
    writeParams(host, slots[i]!, launch);
    checkWorkgroups(gpu, launch);
    const buffers = Object.entries(launch.buffers);
    const { pipeline, layout } = await gpu.pipelines.get(
      kernel,
      entry,
      launch.constants,
      buffers.map(([name]) => name),
    );
    const entries: GPUBindGroupEntry[] = buffers.map(([name, view]) => {
      if (view.size > gpu.limits.maxStorageBufferBindingSize) {
        throw new DeviceError(
          `${launch.label} needs ${
            mebibytes(view.size)
          } in one binding (${name}), but ${gpu.adapter.name} binds at most ` +
            `${mebibytes(gpu.limits.maxStorageBufferBindingSize)}; use a smaller batch or model`,
        );
      }
      return { binding: kernel.bindings[name]!.binding, resource: { ...view } };
    });
    const bytes = 4 * Object.keys(kernel.params).length;
    if (uniforms && bytes > 0) {
      // Uniform structs are padded to 16 bytes.
      entries.push({
        binding: 0,
        resource: { buffer: uniforms, offset: slots[i], size: alignUp(bytes, 16) },
      });
    }
    const bindGroup = gpu.device.createBindGroup({ layout, entries, label: launch.label });
    const { workgroups, label, flops } = launch;
    const moved = buffers.reduce((sum, [, { size }]) => sum + size, 0);
    return { pipeline, bindGroup, workgroups, label, flops, bytes: moved, kernel: `${kernel.name}.${entry}` };
  }));
  try {
    const dispatches = await ready;
    if (uniforms) gpu.device.queue.writeBuffer(uniforms, 0, host.buffer);
    return new Program(gpu, dispatches, uniforms);
  } catch (error) {
    if (uniforms) destroyBuffer(gpu, uniforms);
    throw error;
  }
}

/** Checked here because WebGPU reports it at submission only, without the dispatch's label. */
function checkWorkgroups(gpu: Gpu, { label, workgroups }: Launch<unknown>): void {
  const limit = gpu.limits.maxComputeWorkgroupsPerDimension;
  if (workgroups.every((count) => count <= limit)) return;
  throw new DeviceError(
    `${label} needs ${
      workgroups.join(" x ")
    } workgroups, but ${gpu.adapter.name} takes at most ${limit} along ` +
      "each dimension; use a smaller batch",
  );
}

function writeParams(host: DataView, offset: number, { kernel, params, label }: Launch<unknown>): void {
  for (const [field, type] of Object.entries(kernel.params)) {
    const value = params[field];
    if (value === undefined) {
      throw new Error(`${label}: parameter ${field} of kernel ${kernel.name} is missing`);
    }
    const fits = type === "f32" || value === (type === "u32" ? value >>> 0 : value | 0);
    // A negative or fractional count would silently wrap to a plausible shape.
    if (!fits) {
      throw new Error(
        `${label}: parameter ${field} of kernel ${kernel.name} is not a valid ${type}: ${value}`,
      );
    }
    writeScalar(host, offset, type, value);
    offset += 4;
  }
}
