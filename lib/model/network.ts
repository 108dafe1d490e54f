/**
 * A U-Net whose forward pass is ready to run: recorded, with memory, reading its weights from a flat buffer.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../gpu/device.ts";
import { type BufferView, ResourceScope } from "../gpu/memory.ts";
import { compileGraph } from "../graph/compile.ts";
import type { Constants } from "../graph/constants.ts";
import { Graph } from "../graph/graph.ts";
import { elementBytes, type FloatType, type Tensor } from "../graph/tensor.ts";
import type { UNetConfig } from "./config.ts";
import { castWeights } from "./flat.ts";
import { ParameterTable } from "./parameters.ts";
import { unet, type UNetInputs, unetInputs } from "./unet.ts";

/**
 * The parameters of a configuration, in order; needs no device.
 *
 * @param precision how activations lie in memory; flat buffers are laid out for it
 */
export function unetParameters(config: UNetConfig, precision?: FloatType): ParameterTable {
  const g = new Graph(precision);
  unet(g, config, unetInputs(g, config, 1, false));
  return new ParameterTable(g.parameters);
}

/**
 * Where each parameter tensor of a graph lies in a flat buffer.
 *
 * @param copy the flat buffer's copy in float16, where the graph has tensors of that type
 */
export function bindParameters(g: Graph, flat: GPUBuffer, copy?: GPUBuffer): Map<Tensor, BufferView> {
  const table = new ParameterTable(g.parameters);
  return new Map(g.parameters.map(({ tensor }, i): [Tensor, BufferView] => {
    const buffer = tensor.type === "float16" ? copy : flat;
    if (!buffer) throw new Error(`parameter ${tensor.name} is float16, and there is no such copy`);
    return [tensor, { buffer, offset: elementBytes(tensor.type) * table.offset(i), size: tensor.bytes }];
  }));
}

/** Where the gradient of each parameter lies in a flat buffer, which is float32 always. */
export function bindGradients(g: Graph, flat: GPUBuffer): Map<Tensor, BufferView> {
  const table = new ParameterTable(g.parameters);
  return new Map(g.parameters.map(({ tensor }, i): [Tensor, BufferView] => [
    tensor,
    { buffer: flat, offset: 4 * table.offset(i), size: 4 * tensor.elements },
  ]));
}

/** Creates a buffer for each of a graph's inputs. */
export function createInputs(scope: ResourceScope, g: Graph): Map<Tensor, BufferView> {
  return new Map(
    [...g.inputs].map(([name, tensor]) => [tensor, scope.buffer(tensor.bytes, `input ${name}`)]),
  );
}

/** Records a network without dropout, as it is asked in sampling and validation. */
export function recordForward(
  config: UNetConfig,
  batch: number,
  precision?: FloatType,
): { readonly g: Graph; readonly inputs: UNetInputs; readonly prediction: Tensor } {
  const g = new Graph(precision);
  const inputs = unetInputs(g, config, batch, false);
  return { g, inputs, prediction: unet(g, config, inputs) };
}

/** What a forward pass may be given besides. */
export interface ForwardOptions {
  /** Buffers that may be overwritten, see {@linkcode CompileOptions.spare}. */
  readonly spare?: readonly GPUBuffer[];
  /** Kernel variants to use; default those that suit the device. */
  readonly target?: KernelTarget;
  /** How activations lie in memory; default float32. The weights must be laid out for it. */
  readonly precision?: FloatType;
  /** For the weights in float16, half as many bytes as the weights; a buffer is made where none is given. */
  readonly copy?: GPUBuffer;
  /** See {@linkcode CompileOptions.constants}. */
  readonly constants?: Constants;
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
 * @throws {DeviceError} when the device cannot hold it
 */
export function forwardPass(
  gpu: Gpu,
  config: UNetConfig,
  batch: number,
  flat: GPUBuffer,
  what: string,
  options: ForwardOptions = {},
): ForwardPass {
  const { precision, constants } = options;
  const { g, inputs, prediction } = recordForward(config, batch, precision);
  const scope = new ResourceScope(gpu, what);
  try {
    const bound = createInputs(scope, g);
    const { elements } = new ParameterTable(g.parameters);
    const copy = precision === "float16"
      ? options.copy ?? scope.buffer(2 * elements, "weights in float16").buffer
      : undefined;
    for (const [tensor, view] of bindParameters(g, flat, copy)) bound.set(tensor, view);
    const compiled = scope.own(compileGraph(gpu, g, { ...options, bound, keep: [prediction], what }));
    const cast = copy ? castWeights(gpu, elements, flat, copy) : [];
    constants?.begin(cast);
    return {
      launches: [...constants ? [] : cast, ...compiled.launches.flat()],
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
