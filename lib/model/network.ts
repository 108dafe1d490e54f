/**
 * A U-Net whose forward pass is ready to run: recorded, with memory, reading its weights from a flat buffer.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Gpu } from "../gpu/device.ts";
import { type BufferView, ResourceScope } from "../gpu/memory.ts";
import { compileGraph } from "../graph/compile.ts";
import { Graph } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { UNetConfig } from "./config.ts";
import { ParameterTable } from "./parameters.ts";
import { unet, type UNetInputs, unetInputs } from "./unet.ts";

/** The parameters of a configuration, in order; needs no device. */
export function unetParameters(config: UNetConfig): ParameterTable {
  const g = new Graph();
  unet(g, config, unetInputs(g, config, 1, false));
  return new ParameterTable(g.parameters);
}

/** Where each parameter tensor of a graph lies in a flat buffer. */
export function bindParameters(g: Graph, flat: GPUBuffer): Map<Tensor, BufferView> {
  const table = new ParameterTable(g.parameters);
  return new Map(g.parameters.map(({ tensor }, i): [Tensor, BufferView] => [
    tensor,
    { buffer: flat, offset: 4 * table.offset(i), size: 4 * tensor.elements },
  ]));
}

/** Creates a buffer for each of a graph's inputs. */
export function createInputs(scope: ResourceScope, g: Graph): Map<Tensor, BufferView> {
  return new Map(
    [...g.inputs].map(([name, tensor]) => [tensor, scope.buffer(4 * tensor.elements, `input ${name}`)]),
  );
}

/** A recorded forward pass with its inputs and its output. */
export interface ForwardPass {
  readonly launches: readonly Launch<BufferView>[];
  /** x [N,H,W,Cp]; timesteps N float32; labels N uint32, where the network takes classes. */
  readonly inputs: { readonly x: BufferView; readonly timesteps: BufferView; readonly labels?: BufferView };
  /** [N,H,W,Cp]. */
  readonly prediction: BufferView;
  /** Bytes of the activation buffers that were created. */
  readonly bytes: number;
  /** Buffers that hold nothing between two runs, the largest first; another pass may work in them then. */
  readonly spare: readonly GPUBuffer[];
  destroy(): void;
}

/**
 * Makes a forward pass without dropout, for sampling and validation.
 *
 * @param flat the weights, laid out by {@linkcode ParameterTable}
 * @param spare buffers that may be overwritten, see {@linkcode CompileOptions.spare}
 * @throws {DeviceError} when the device cannot hold it
 */
export function forwardPass(
  gpu: Gpu,
  config: UNetConfig,
  batch: number,
  flat: GPUBuffer,
  what: string,
  spare: readonly GPUBuffer[] = [],
): ForwardPass {
  const g = new Graph();
  const inputs: UNetInputs = unetInputs(g, config, batch, false);
  const prediction = unet(g, config, inputs);
  const scope = new ResourceScope(gpu, what);
  try {
    const bound = createInputs(scope, g);
    for (const [tensor, view] of bindParameters(g, flat)) bound.set(tensor, view);
    const compiled = scope.own(compileGraph(gpu, g, { bound, keep: [prediction], spare, what }));
    return {
      launches: compiled.launches.flat(),
      inputs: {
        x: compiled.view(inputs.x),
        timesteps: compiled.view(inputs.timesteps),
        ...(inputs.labels ? { labels: compiled.view(inputs.labels) } : {}),
      },
      prediction: compiled.view(prediction),
      bytes: compiled.bytes,
      spare: compiled.spare,
      destroy: () => scope.destroy(),
    };
  } catch (error) {
    scope.destroy();
    throw error;
  }
}
