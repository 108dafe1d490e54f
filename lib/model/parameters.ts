/**
 * Parameter layout: conversion between checkpoint tensors and one flat buffer, so that the optimizer, the moving average
 * and the gradient norm are one dispatch each over everything; weight initialization.
 *
 * @module
 */
import { CheckpointError, ConfigError } from "../errors.ts";
import { BINDING_ALIGNMENT } from "../gpu/memory.ts";
import type { Parameter } from "../graph/graph.ts";
import { elementBytes, paddedChannels, showShape, type Tensor } from "../graph/tensor.ts";
import { normal2, splitSeed, threefry4x32, uniform01 } from "../random.ts";

/** Tensor in checkpoint layout. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Largest flat buffer: 4 GiB in float32, the most that WebGPU can bind. */
const MAX_ELEMENTS = 2 ** 30;

/** Offsets of the parameters in the flat buffer. */
export class ParameterTable {
  /**
   * Those that are not trained come first, so that the optimizer's range is one. Those of training alone come last, so that offsets and
   * initial values of the others are the same with and without them.
   */
  readonly parameters: readonly Parameter[];
  /** Memory of the parameters, in order; parameters of fused layers share a tensor. */
  readonly tensors: readonly Tensor[];
  /** Elements of the flat buffer, padding included; a multiple of 64. */
  readonly elements: number;
  /** First element that is trained, a multiple of 64. */
  readonly firstTrained: number;
  /** Values, padding not counted. */
  readonly count: number;
  readonly #offsets = new Map<Tensor, number>();

  /**
   * Lays the parameters' tensors out one after the other.
   *
   * @throws {ConfigError} for more of them than a buffer can hold
   */
  constructor(parameters: readonly Parameter[]) {
    this.parameters = [
      ...parameters.filter(({ frozen }) => frozen),
      ...parameters.filter(({ frozen, trainingOnly }) => !frozen && !trainingOnly),
      ...parameters.filter(({ trainingOnly }) => trainingOnly),
    ];
    this.tensors = [...new Set(this.parameters.map(({ tensor }) => tensor))];
    // Alignment of offsets in elements, so that every tensor can be bound, in a float16 copy as well.
    const smallest = Math.min(...this.tensors.map(({ type }) => elementBytes(type)));
    const alignment = BINDING_ALIGNMENT / smallest;
    let elements = 0;
    for (const tensor of this.tensors) {
      this.#offsets.set(tensor, elements);
      elements += alignment * Math.ceil(tensor.elements / alignment);
    }
    this.elements = elements;
    const trained = this.parameters.find(({ frozen }) => !frozen);
    this.firstTrained = trained ? this.offset(trained.tensor) : elements;
    this.count = parameters.reduce((sum, { shape }) => sum + product(shape), 0);
    if (elements > MAX_ELEMENTS) {
      const allowed =
        `a network of at most ${MAX_ELEMENTS} parameters; fewer block_out_channels or layers_per_block`;
      throw new ConfigError("parameters", this.count, allowed);
    }
  }

  /** Offset of one of the {@linkcode tensors}, in elements. */
  offset(tensor: Tensor): number {
    const offset = this.#offsets.get(tensor);
    if (offset === undefined) throw new Error(`${tensor.name} is no parameter of the table`);
    return offset;
  }

  /** Parameter that owns element `element` of the flat buffer; padding belongs to the parameter before it. */
  at(element: number): Parameter {
    const tensor = this.tensors.findLast((tensor) => this.offset(tensor) <= element)!; // the first one's is 0
    const column = (element - this.offset(tensor)) % paddedChannels(tensor.shape[3]);
    return this.parameters.findLast((each) => each.tensor === tensor && each.first <= column)!;
  }

  /**
   * Converts checkpoint tensors to the content of the flat buffer.
   *
   * @param tensors tensors by checkpoint key, with the shapes of the network
   * @param source file or directory, for messages
   * @throws {CheckpointError} naming a tensor that is missing, left over, or of the wrong shape
   */
  toMemory(tensors: ReadonlyMap<string, HostTensor>, source: string): Float32Array<ArrayBuffer> {
    const flat = new Float32Array(this.elements);
    const known = new Set<string>();
    for (const parameter of this.parameters) {
      const tensor = tensors.get(parameter.name);
      if (!tensor) throw new CheckpointError(`${source}: tensor ${parameter.name} is missing`);
      if (showShape(tensor.shape) !== showShape(parameter.shape)) {
        throw new CheckpointError(
          `${source}: tensor ${parameter.name} has shape ${showShape(tensor.shape)}, the network needs ${
            showShape(parameter.shape)
          }`,
        );
      }
      known.add(parameter.name);
      scatter(parameter, tensor.data, flat.subarray(this.offset(parameter.tensor)));
    }
    for (const name of tensors.keys()) {
      if (!known.has(name)) {
        throw new CheckpointError(`${source}: tensor ${name} does not belong to this network`);
      }
    }
    return flat;
  }

  /** Keeps the tensors of the network itself, without those of parameters that are part of training alone. */
  ofNetwork<T>(tensors: ReadonlyMap<string, T>): Map<string, T> {
    const trained = this.#trainingOnly();
    return new Map([...tensors].filter(([name]) => !trained.has(name)));
  }

  /** Keeps the tensors that {@linkcode ofNetwork} drops. */
  ofTraining<T>(tensors: ReadonlyMap<string, T>): Map<string, T> {
    const trained = this.#trainingOnly();
    return new Map([...tensors].filter(([name]) => trained.has(name)));
  }

  #trainingOnly(): Set<string> {
    return new Set(this.parameters.filter(({ trainingOnly }) => trainingOnly).map(({ name }) => name));
  }

  /** Converts the content of the flat buffer to checkpoint tensors, the inverse of {@linkcode toMemory}. */
  fromMemory(flat: Float32Array): Map<string, HostTensor> {
    return new Map(this.parameters.map((parameter): [string, HostTensor] => {
      const data = gather(parameter, flat.subarray(this.offset(parameter.tensor)));
      return [parameter.name, { shape: parameter.shape, data }];
    }));
  }

  /**
   * Initial values, the same on every machine: each parameter has Threefry counters of its own.
   * @param seed integer from 0 to 2^53 - 1
   */
  initialize(seed: number): Float32Array<ArrayBuffer> {
    const tensors = new Map(this.parameters.map((parameter, i): [string, HostTensor] => [
      parameter.name,
      { shape: parameter.shape, data: initialValues(parameter, i, splitSeed(seed)) },
    ]));
    return this.toMemory(tensors, "initialization");
  }
}

/** Checkpoint shape of the weight of a linear layer or a convolution. */
type ProductShape = readonly [out: number, input: number, height?: number, width?: number];

/** Calls `visit` with the checkpoint index and the memory index of every value. */
function forEachValue(
  { layout, shape, tensor, first }: Parameter,
  visit: (checkpoint: number, memory: number) => void,
): void {
  const stride = paddedChannels(tensor.shape[3]);
  switch (layout) {
    case "vector":
      for (let i = 0; i < shape[0]!; i++) visit(i, first + i);
      return;
    case "table": {
      const [rows, width] = shape as [number, number];
      for (let r = 0; r < rows; r++) {
        for (let i = 0; i < width; i++) visit(r * width + i, r * stride + first + i);
      }
      return;
    }
    case "linear":
    case "conv": {
      const [out, input, height = 1, width = 1] = shape as ProductShape;
      const inStride = paddedChannels(input) * stride;
      const taps = height * width;
      for (let o = 0; o < out; o++) {
        for (let i = 0; i < input; i++) {
          for (let tap = 0; tap < taps; tap++) {
            visit((o * input + i) * taps + tap, tap * inStride + i * stride + first + o);
          }
        }
      }
    }
  }
}

function scatter(parameter: Parameter, data: Float32Array, memory: Float32Array): void {
  forEachValue(parameter, (from, to) => memory[to] = data[from]!);
}

function gather(parameter: Parameter, memory: Float32Array): Float32Array {
  const data = new Float32Array(product(parameter.shape));
  forEachValue(parameter, (to, from) => data[to] = memory[from]!);
  return data;
}

/** Third word of the Threefry counter, which separates initial weights from all other uses of the seed. */
const INITIALIZATION = 0x696e6974;

/** Zeros, ones, normal, or uniform with variance `scale / fan_avg` (Glorot and Bengio 2010). */
function initialValues({ init, shape }: Parameter, index: number, key: [number, number]): Float32Array {
  const data = new Float32Array(product(shape));
  if (init.kind === "zeros") return data;
  if (init.kind === "ones") return data.fill(1);
  const [out, input, height = 1, width = 1] = shape as ProductShape;
  const fanAvg = (out + input) * height * width / 2;
  const bound = init.kind === "fanAvg" ? Math.sqrt(3 * init.scale / fanAvg) : 0;
  for (let i = 0; i < data.length; i += 4) {
    const words = threefry4x32([i / 4, index, INITIALIZATION, 0], key);
    const values = init.kind === "normal"
      ? [...normal2(words[0], words[1]), ...normal2(words[2], words[3])].map((z) => z * init.std)
      : words.map((word) => (2 * uniform01(word) - 1) * bound);
    for (let j = 0; j < 4 && i + j < data.length; j++) data[i + j] = values[j]!;
  }
  return data;
}

function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
