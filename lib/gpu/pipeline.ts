/**
 * Cache of compute pipelines: WGSL text is compiled once per kernel, entry point and constants.
 *
 * @module
 */
import type { KernelSource, OverrideConstants } from "../../kernels/source.ts";
import { DeviceError } from "../errors.ts";
import { type SubgroupDirective, withDirectives } from "./wgsl.ts";

/** A compute pipeline and the layout of its one bind group. */
export interface ComputePipeline {
  /** The compiled pipeline. */
  readonly pipeline: GPUComputePipeline;
  /** Layout of bind group 0. */
  readonly layout: GPUBindGroupLayout;
}

/** Device of a {@linkcode PipelineCache}. */
export interface PipelineHost {
  /** Device that compiles the pipelines. */
  readonly device: GPUDevice;
  /** Named in messages. */
  readonly adapter: { readonly name: string };
  /** Directives for subgroup operations in WGSL. */
  readonly subgroups?: SubgroupDirective;
}

/** Key of a pipeline, see {@linkcode PipelineCache.get}. */
export function pipelineCacheKey(
  { name, code }: KernelSource,
  entry: string,
  constants: OverrideConstants,
  names: readonly string[],
): string {
  return [name, code.length, hash(code), entry, JSON.stringify(constants), [...names].sort().join()].join(
    "|",
  );
}

/** Pipelines of one device, keyed by kernel text, entry point, constants and bindings. */
export class PipelineCache {
  #gpu: PipelineHost;
  #modules = new Map<string, GPUShaderModule>();
  #pipelines = new Map<string, Promise<ComputePipeline>>();

  /** Creates an empty cache. */
  constructor(gpu: PipelineHost) {
    this.#gpu = gpu;
  }

  /** Number of cached pipelines. */
  get size(): number {
    return this.#pipelines.size;
  }

  /** True if there is a pipeline of this {@linkcode pipelineCacheKey}. */
  has(key: string): boolean {
    return this.#pipelines.has(key);
  }

  /**
   * Returns the pipeline of an entry point, compiling it on first use.
   *
   * @param names WGSL names of the storage buffers that this entry point uses
   * @throws {DeviceError} naming the kernel if the device rejects its text or constants
   */
  get(
    kernel: KernelSource,
    entry: string,
    constants: OverrideConstants,
    names: readonly string[],
  ): Promise<ComputePipeline> {
    const key = pipelineCacheKey(kernel, entry, constants, names);
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = this.#create(kernel, entry, constants, [...names].sort());
      this.#pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  async #create(
    kernel: KernelSource,
    entry: string,
    constants: OverrideConstants,
    names: string[],
  ): Promise<ComputePipeline> {
    const { device } = this.#gpu;
    const label = `${kernel.name}.${entry}`;
    const entries: GPUBindGroupLayoutEntry[] = names.map((name) => {
      const declared = kernel.bindings[name];
      if (!declared) {
        throw new DeviceError(
          `kernel ${label} has no buffer ${name}; it has ${Object.keys(kernel.bindings).join(", ")}`,
        );
      }
      const type = declared.access === "read" ? "read-only-storage" : "storage";
      return { binding: declared.binding, visibility: COMPUTE, buffer: { type } };
    });
    if (Object.keys(kernel.params).length > 0) {
      entries.push({ binding: 0, visibility: COMPUTE, buffer: { type: "uniform" } });
    }
    // WebGPU reports errors asynchronously; without a scope they would surface far from their cause. `internal` covers
    // drivers that fail to compile valid shaders.
    for (const filter of FILTERS) device.pushErrorScope(filter);
    const layout = device.createBindGroupLayout({ entries, label });
    const moduleKey = kernel.name + hash(kernel.code);
    let module = this.#modules.get(moduleKey);
    if (!module) {
      const code = withDirectives(kernel.code, this.#gpu.subgroups);
      module = device.createShaderModule({ code, label: kernel.name });
      this.#modules.set(moduleKey, module);
    }
    const pipeline = device.createComputePipeline({
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: entry, constants: constants as Record<string, number> },
    });
    const [error] = (await Promise.all(FILTERS.map(() => device.popErrorScope()))).filter((e) => e !== null);
    if (error) {
      throw new DeviceError(`kernel ${label} was refused by ${this.#gpu.adapter.name}: ${error.message}`);
    }
    return { pipeline, layout };
  }
}

const FILTERS: readonly GPUErrorFilter[] = ["validation", "internal"];

/** `GPUShaderStage.COMPUTE`; the global does not exist in a runtime without WebGPU. */
const COMPUTE = 4;

/** FNV-1a over UTF-16 code units; used in cache keys only. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
