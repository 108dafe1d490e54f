/** A device whose shaders report every index out of bounds. */
import { instrument, REPORT_GROUP, type Site, WORDS_PER_SITE } from "./instrument.ts";

/** Sites of a device, in all of its shaders. */
const MAX_SITES = 2 ** 19;

/** An index that was out of bounds. */
export interface Fault extends Site {
  readonly kernel: string;
  /** Largest index outside. */
  readonly index: number;
  readonly size: number;
}

/** Faults of a device. */
export interface BoundsReport {
  /** Faults since the last call. */
  faults(): Promise<Fault[]>;
  /** Number of checked indices in the shaders so far. */
  readonly sites: number;
}

export function describeFaults(faults: readonly Fault[]): string {
  return faults.map(({ kernel, line, access, index, size }) =>
    `${kernel}, line ${line}: ${access} at ${index}, of ${size}`
  ).join("\n");
}

const watches = new WeakMap<GPUDevice, Watch>();

/** Instruments all shaders that the device gets from now on, once. Results stay the same. */
export function watchBounds(device: GPUDevice): BoundsReport {
  let watch = watches.get(device);
  if (!watch) {
    watches.set(device, watch = new Watch(device));
    watch.install();
  }
  return watch;
}

class Watch implements BoundsReport {
  readonly #device: GPUDevice;
  readonly #report: GPUBuffer;
  readonly #layout: GPUBindGroupLayout;
  readonly #group: GPUBindGroup;
  /** Groups of pipelines with layouts of their own. */
  readonly #groups = new WeakMap<GPUComputePipeline, GPUBindGroup>();
  readonly #sites: (Site & { readonly kernel: string })[] = [];
  /** Faults at the moment before the device was destroyed. */
  #last: Promise<Fault[]> | undefined;

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#report = device.createBuffer({
      size: 4 * WORDS_PER_SITE * MAX_SITES,
      usage: STORAGE | COPY_SRC | COPY_DST,
    });
    const entry = { binding: 0, visibility: COMPUTE, buffer: { type: "storage" } } as const;
    this.#layout = device.createBindGroupLayout({ entries: [entry] });
    this.#group = this.#groupOf(this.#layout);
  }

  #groupOf(layout: GPUBindGroupLayout): GPUBindGroup {
    const entries = [{ binding: 0, resource: { buffer: this.#report } }];
    return this.#device.createBindGroup({ layout, entries });
  }

  get sites(): number {
    return this.#sites.length;
  }

  install(): void {
    const device = this.#device;
    const { createShaderModule, createPipelineLayout, createCommandEncoder, destroy } = device;
    const { createComputePipeline } = device;
    Object.assign(device, {
      createShaderModule: (descriptor: GPUShaderModuleDescriptor) =>
        createShaderModule.call(device, { ...descriptor, code: this.#instrumented(descriptor) }),
      createPipelineLayout: (descriptor: GPUPipelineLayoutDescriptor) => {
        const bindGroupLayouts = [...descriptor.bindGroupLayouts];
        if (bindGroupLayouts.length !== REPORT_GROUP) throw new Error("expected one bind group");
        return createPipelineLayout.call(device, {
          ...descriptor,
          bindGroupLayouts: [...bindGroupLayouts, this.#layout],
        });
      },
      createComputePipeline: (descriptor: GPUComputePipelineDescriptor) => {
        const pipeline = createComputePipeline.call(device, descriptor);
        // An automatic layout is compatible with no other's group.
        if (descriptor.layout === "auto") {
          this.#groups.set(pipeline, this.#groupOf(pipeline.getBindGroupLayout(REPORT_GROUP)));
        }
        return pipeline;
      },
      createComputePipelineAsync: () => Promise.reject(new Error("pipelines made so are not understood")),
      createCommandEncoder: (descriptor?: GPUCommandEncoderDescriptor) => {
        const encoder = createCommandEncoder.call(device, descriptor);
        const { beginComputePass } = encoder;
        return Object.assign(encoder, {
          beginComputePass: (descriptor?: GPUComputePassDescriptor) => {
            const pass = beginComputePass.call(encoder, descriptor);
            const { setPipeline } = pass;
            return Object.assign(pass, {
              setPipeline: (pipeline: GPUComputePipeline) => {
                setPipeline.call(pass, pipeline);
                pass.setBindGroup(REPORT_GROUP, this.#groups.get(pipeline) ?? this.#group);
              },
            });
          },
        });
      },
      destroy: () => {
        this.#last ??= this.#read().finally(() => destroy.call(device));
      },
    });
  }

  faults(): Promise<Fault[]> {
    return this.#last ?? this.#read();
  }

  #instrumented({ code, label = "shader" }: GPUShaderModuleDescriptor): string {
    let instrumented;
    try {
      instrumented = instrument(code, this.#sites.length);
    } catch (error) {
      throw new Error(`${label}: ${(error as Error).message}`, { cause: error });
    }
    this.#sites.push(...instrumented.sites.map((site) => ({ ...site, kernel: label })));
    if (this.#sites.length > MAX_SITES) throw new Error(`more than ${MAX_SITES} indices`);
    return instrumented.code;
  }

  async #read(): Promise<Fault[]> {
    const size = 4 * WORDS_PER_SITE * this.#sites.length;
    if (size === 0) return [];
    const device = this.#device;
    const staging = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#report, 0, staging, 0, size);
    encoder.clearBuffer(this.#report);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_MODE_READ);
    const words = new Uint32Array(staging.getMappedRange().slice(0));
    staging.destroy();
    return this.#sites.flatMap((site, i) => {
      const [index, size] = words.subarray(WORDS_PER_SITE * i);
      return size > 0 ? [{ ...site, index, size: size - 1 }] : [];
    });
  }
}

// GPUBufferUsage, GPUMapMode and GPUShaderStage, which Dawn does not have as globals.
const [MAP_READ, COPY_SRC, COPY_DST, STORAGE, MAP_MODE_READ, COMPUTE] = [1, 4, 8, 128, 1, 4];
