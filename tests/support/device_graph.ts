/** A compiled graph on the device, with host arrays in and out. */
import type { KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { type BufferView, ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram, type Program } from "../../lib/gpu/program.ts";
import { readBack } from "../../lib/gpu/readback.ts";
import { type Compiled, compileGraph } from "../../lib/graph/compile.ts";
import type { Gradients } from "../../lib/graph/gradients.ts";
import type { Graph } from "../../lib/graph/graph.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { bindParameters, createInputs } from "../../lib/model/network.ts";
import { ParameterTable } from "../../lib/model/parameters.ts";

export interface DeviceGraphOptions {
  /** Activations to keep for reading. */
  keep: readonly Tensor[];
  /** Gradients of the backward pass, if there is one. */
  gradients?: Gradients;
  /** Number of nodes of the forward pass; default: all. */
  forwardNodes?: number;
  /** Kernel variants; default: those for the device. */
  target?: KernelTarget;
}

export class DeviceGraph {
  readonly table: ParameterTable;
  /** Flat, laid out by `table`. */
  readonly parameters: BufferView;
  readonly gradients: BufferView;
  readonly compiled: Compiled;
  readonly forward: Program;
  readonly backward: Program;
  readonly #gpu: Gpu;
  readonly #scope: ResourceScope;

  private constructor(
    gpu: Gpu,
    scope: ResourceScope,
    parts: Pick<DeviceGraph, "table" | "parameters" | "gradients" | "compiled" | "forward" | "backward">,
  ) {
    this.#gpu = gpu;
    this.#scope = scope;
    this.table = parts.table;
    this.parameters = parts.parameters;
    this.gradients = parts.gradients;
    this.compiled = parts.compiled;
    this.forward = parts.forward;
    this.backward = parts.backward;
  }

  static build(gpu: Gpu, g: Graph, options: DeviceGraphOptions): Promise<DeviceGraph> {
    const { keep, gradients: recorded, forwardNodes = g.nodes.length, target } = options;
    const scope = new ResourceScope(gpu, "test");
    return scope.guard(async () => {
      const table = new ParameterTable(g.parameters);
      const parameters = scope.buffer(4 * table.elements, "parameters");
      const gradients = scope.buffer(4 * table.elements, "gradients");
      const bound = createInputs(scope, g);
      for (const [tensor, view] of bindParameters(g, parameters.buffer)) {
        bound.set(tensor, view);
        const gradient = recorded?.ofParameter.get(tensor);
        if (gradient) bound.set(gradient, { ...view, buffer: gradients.buffer });
      }
      const compiled = scope.own(compileGraph(gpu, g, { bound, keep, what: "test", target }));
      const build = async (first: number, end?: number) =>
        scope.own(await buildProgram(gpu, compiled.launches.slice(first, end).flat()));
      const forward = await build(0, forwardNodes);
      const backward = await build(forwardNodes);
      return new DeviceGraph(gpu, scope, { table, parameters, gradients, compiled, forward, backward });
    });
  }

  /** Fills an input or a flat buffer. */
  write(to: Tensor | BufferView, values: Float32Array | Uint32Array): void {
    const { buffer, offset } = "buffer" in to ? to : this.compiled.view(to);
    this.#gpu.device.queue.writeBuffer(buffer, offset, values as Float32Array<ArrayBuffer>);
  }

  /** Contents of kept tensors, inputs or flat buffers. */
  async read(...of: (Tensor | BufferView)[]): Promise<Float32Array<ArrayBuffer>[]> {
    const views = of.map((from) => "buffer" in from ? from : this.compiled.view(from));
    return (await readBack(this.#gpu, views)).map((bytes) => new Float32Array(bytes));
  }

  destroy(): void {
    this.#scope.destroy();
  }
}
