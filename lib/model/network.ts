/**
 * Forward pass of the U-Net on a device: recorded, compiled, with its weights in a flat buffer.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../gpu/device.ts";
import { type BufferView, ResourceScope } from "../gpu/memory.ts";
import { compileGraph } from "../graph/compile.ts";
import type { HoistedConstants } from "../graph/constants.ts";
import { Graph } from "../graph/graph.ts";
import { elementBytes, type Tensor } from "../graph/tensor.ts";
import type { UNetConfig } from "./config.ts";
import { castWeights } from "./flat.ts";
import { ParameterTable } from "./parameters.ts";
import { type Precision, storageType } from "./precision.ts";
import { unet, type UNetInputs, unetInputs } from "./unet.ts";

/**
 * Parameters of a configuration, in order; needs no device.
 *
 * @param precision determines the layout of flat buffers; default float32
 * @param augmented with those of training with augmentation
 */
export function unetParameters(
  config: UNetConfig,
  precision?: Precision,
  augmented = false,
): ParameterTable {
  const g = new Graph(storageType(precision));
  unet(g, config, unetInputs(g, config, 1, false, augmented));
  return new ParameterTable(g.parameters);
}

/**
 * Views of a graph's parameters in a flat buffer.
 *
 * @param copy float16 copy of the flat buffer, for graphs with parameters of that type
 */
export function bindParameters(g: Graph, flat: GPUBuffer, copy?: GPUBuffer): Map<Tensor, BufferView> {
  const table = new ParameterTable(g.parameters);
  return new Map(table.tensors.map((tensor): [Tensor, BufferView] => {
    const buffer = tensor.type === "float16" ? copy : flat;
    if (!buffer) throw new Error(`parameter ${tensor.name} is float16, but there is no float16 copy`);
    return [tensor, { buffer, offset: elementBytes(tensor.type) * table.offset(tensor), size: tensor.bytes }];
  }));
}

/** Views of the trained parameters' gradients in a flat buffer, always float32. */
export function bindGradients(g: Graph, flat: GPUBuffer): Map<Tensor, BufferView> {
  const table = new ParameterTable(g.parameters);
  const trained = table.tensors.filter((tensor) => table.offset(tensor) >= table.firstTrained);
  return new Map(trained.map((tensor): [Tensor, BufferView] => [
    tensor,
    { buffer: flat, offset: 4 * table.offset(tensor), size: 4 * tensor.elements },
  ]));
}

/** Creates a buffer for each input of a graph. */
export function createInputs(scope: ResourceScope, g: Graph): Map<Tensor, BufferView> {
  return new Map(
    [...g.inputs].map(([name, tensor]) => [tensor, scope.buffer(tensor.bytes, `input ${name}`)]),
  );
}

/** Records a network without dropout, for sampling and validation. */
export function recordForward(
  config: UNetConfig,
  batch: number,
  precision?: Precision,
): { readonly g: Graph; readonly inputs: UNetInputs; readonly prediction: Tensor } {
  const g = new Graph(storageType(precision));
  const inputs = unetInputs(g, config, batch, false);
  return { g, inputs, prediction: unet(g, config, inputs) };
}

/** Options of {@linkcode forwardPass}. */
export interface ForwardOptions {
  /** Buffers that the pass may overwrite, see {@linkcode CompileOptions.reuse}. */
  readonly reuse?: readonly GPUBuffer[];
  /** Kernel variants; by default chosen for the device. */
  readonly target?: KernelTarget;
  /** Default float32. The layout of the weights must match it. */
  readonly precision?: Precision;
  /** Buffer for the float16 copy of the weights, half their size; created if absent. */
  readonly copy?: GPUBuffer;
  /** See {@linkcode CompileOptions.constants}. */
  readonly constants?: HoistedConstants;
}

/** Forward pass with its inputs and its output. */
export interface ForwardPass {
  readonly launches: readonly Launch<BufferView>[];
  /**
   * x [N,H,W,Cp]; estimate the same, zero at first, if the network has self-conditioning; timesteps N float32; labels N uint32, if
   * it has classes.
   */
  readonly inputs: {
    readonly x: BufferView;
    readonly estimate?: BufferView;
    readonly timesteps: BufferView;
    readonly labels?: BufferView;
  };
  /** [N,H,W,Cp]. */
  readonly prediction: BufferView;
  /** Bytes of the activation buffers. */
  readonly bytes: number;
  /** Buffers free between runs, the largest first, for another pass to use. */
  readonly reusable: readonly GPUBuffer[];
  destroy(): void;
}

/**
 * Creates a forward pass without dropout, for sampling and validation.
 *
 * @param flat weights, laid out by {@linkcode ParameterTable}
 * @param what names the pass in errors about memory
 * @throws {DeviceError} if the device lacks memory
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
    const copy = precision === "mixed"
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
        ...(inputs.estimate ? { estimate: compiled.view(inputs.estimate) } : {}),
        ...(inputs.labels ? { labels: compiled.view(inputs.labels) } : {}),
      },
      prediction: compiled.view(prediction),
      bytes: compiled.bytes,
      reusable: compiled.reusable,
      destroy: () => scope.destroy(),
    };
  } catch (error) {
    scope.destroy();
    throw error;
  }
}
