/**
 * Recorded network: an ordered list of nodes over symbolic tensors.
 *
 * @module
 */
import { ShapeError } from "../errors.ts";
import type { AllOperations, Node, NodeOf } from "./operations.ts";
import {
  bytesInMemory,
  elementsInMemory,
  type ElementType,
  type FloatType,
  paddedChannels,
  type Role,
  type Shape,
  showShape,
  type Tensor,
} from "./tensor.ts";

/** Initialization of a parameter. `fanAvg` is uniform variance scaling by the mean of fan-in and fan-out (Glorot 2010). */
export type Initializer =
  | { readonly kind: "fanAvg"; readonly scale: number }
  | { readonly kind: "normal"; readonly std: number }
  | { readonly kind: "ones" | "zeros" };

/**
 * Memory layout of a parameter, from its checkpoint shape:
 * `conv` [out,in,kh,kw] -> [kh,kw,in,out]; `linear` [out,in] -> [in,out]; `vector` [n]; `table` [rows,n].
 * Input and output channels are padded to multiples of 4 with zeros.
 */
export type ParameterLayout = "conv" | "linear" | "vector" | "table";

/** Parameter: its tensor in the graph, and its name, shape and layout in checkpoints. */
export interface Parameter {
  /** Checkpoint key, e.g. `down_blocks.0.resnets.0.conv1.weight`. */
  readonly name: string;
  /** Memory; shared by the parameters of fused layers, see {@linkcode Graph.fusedParameter}. */
  readonly tensor: Tensor;
  /** First output channel in `tensor`, a multiple of 4; 0 unless `tensor` is shared. */
  readonly first: number;
  readonly layout: ParameterLayout;
  /** Shape in the checkpoint (PyTorch's order). */
  readonly shape: readonly number[];
  readonly init: Initializer;
  /** Part of training alone: models are written without it. */
  readonly trainingOnly?: true;
  /** Not trained: the optimizer leaves its values. */
  readonly frozen?: true;
}

/** Options of {@linkcode Graph.parameter}. */
export type ParameterOptions = Pick<Parameter, "trainingOnly" | "frozen">;

/** Records nodes, inputs and parameters in order. */
export class Graph {
  /**
   * Storage type of activations, their gradients, and convolution and linear weights, except those of
   * {@linkcode Graph.inFloat32}; all else is float32.
   */
  readonly stored: FloatType;
  readonly nodes: Node[] = [];
  readonly parameters: Parameter[] = [];
  readonly inputs: Map<string, Tensor> = new Map<string, Tensor>();
  /** Segment of each node; see {@linkcode Graph.segment}. */
  readonly segments: Map<Node, number> = new Map<Node, number>();
  /** Tensors exempt from recomputation; see {@linkcode Graph.keep}. */
  readonly kept: Set<Tensor> = new Set<Tensor>();
  #names = new Set<string>();
  #nextId = 0;
  #dropoutLayers = 0;
  #scope: string[] = [];
  #segment: number | undefined;
  /** Storage type of what is recorded now; see {@linkcode Graph.inFloat32}. */
  #type: FloatType;
  #nextSegment = 0;

  /** @param stored storage type of activations; float16 needs a device with `shader-f16` */
  constructor(stored: FloatType = "float32") {
    this.stored = this.#type = stored;
  }

  /** Declares a tensor that is bound from outside. Default type: that of activations. */
  input(name: string, shape: Shape, type: ElementType = this.#type): Tensor {
    if (this.inputs.has(name)) throw new ShapeError(`input ${name} is declared twice`);
    const tensor = this.tensor(name, shape, "input", false, type);
    this.inputs.set(name, tensor);
    return tensor;
  }

  /**
   * Declares a parameter under the current scope.
   * @param shape shape in the checkpoint; `layout` determines the memory layout
   * @throws {ShapeError} if the name is taken, or the shape does not fit the layout
   */
  parameter(
    name: string,
    layout: ParameterLayout,
    shape: readonly number[],
    init: Initializer,
    options: ParameterOptions = {},
  ): Tensor {
    const tensor = this.fusedParameter(name, layout, shape);
    this.parameterIn(tensor, 0, name, layout, shape, init, options);
    return tensor;
  }

  /**
   * Creates the memory of several parameters side by side, so that layers with the same input are one product. Its columns
   * (output channels) are assigned by {@linkcode Graph.parameterIn}; those that are not stay zero.
   *
   * @param shape that of a parameter with the output channels of all layers
   */
  fusedParameter(name: string, layout: ParameterLayout, shape: readonly number[]): Tensor {
    const full = this.label(name);
    const isWeight = layout === "conv" || layout === "linear";
    const type = isWeight ? this.#type : "float32";
    return this.tensor(full, memoryShape(full, layout, shape), "parameter", true, type);
  }

  /**
   * Declares a parameter under the current scope, in columns of existing memory.
   *
   * @param tensor memory of the same layout with the same input channels
   * @param first first of the parameter's columns; columns of parameters must not overlap
   * @throws {ShapeError} if the name is taken, or the columns are not multiples of 4 inside of the memory
   */
  parameterIn(
    tensor: Tensor,
    first: number,
    name: string,
    layout: ParameterLayout,
    shape: readonly number[],
    init: Initializer,
    options: ParameterOptions = {},
  ): void {
    const full = this.label(name);
    if (this.#names.has(full)) throw new ShapeError(`parameter ${full} is declared twice`);
    const [height, width, rows, columns] = memoryShape(full, layout, shape);
    const end = first + paddedChannels(columns);
    const fits = first % 4 === 0 && end <= paddedChannels(tensor.shape[3]);
    if (!fits || [height, width, rows].some((size, i) => size !== tensor.shape[i])) {
      const memory = `${tensor.name} ${showShape(tensor.shape)}`;
      throw new ShapeError(`parameter ${full} ${showShape(shape)} does not fit ${memory} at column ${first}`);
    }
    this.#names.add(full);
    this.parameters.push({ name: full, tensor, first, layout, shape, init, ...options });
  }

  /**
   * Creates a tensor; operations call this for their results.
   * @param name name in messages, scope included
   * @param type default: the storage type for activations, float32 for other roles
   */
  tensor(
    name: string,
    shape: Shape,
    role: Role,
    trainable: boolean,
    type: ElementType = role === "activation" ? this.#type : "float32",
  ): Tensor {
    if (shape.some((size) => !Number.isInteger(size) || size < 1)) {
      throw new ShapeError(`${name}: every size of ${showShape(shape)} must be a positive integer`);
    }
    const elements = elementsInMemory(shape, type);
    const bytes = bytesInMemory(shape, type);
    return { id: this.#nextId++, shape, role, elements, type, bytes, name, trainable };
  }

  /** Appends a node. */
  record<K extends keyof AllOperations>(node: NodeOf<K>): NodeOf<K> {
    this.nodes.push(node as unknown as Node);
    if (this.#segment !== undefined) this.segments.set(node as unknown as Node, this.#segment);
    return node;
  }

  /** Runs `body` with `name` prefixed to every parameter and label recorded inside. */
  scope<T>(name: string, body: () => T): T {
    this.#scope.push(name);
    try {
      return body();
    } finally {
      this.#scope.pop();
    }
  }

  /** Runs `body` with activations and weights in float32. */
  inFloat32<T>(body: () => T): T {
    const outer = this.#type;
    this.#type = "float32";
    try {
      return body();
    } finally {
      this.#type = outer;
    }
  }

  /**
   * Runs `body` and records its nodes as one segment for activation checkpointing: tensors read only inside the segment
   * can be dropped after the forward pass and recomputed in the backward pass (Chen et al. 2016, "Training deep nets with
   * sublinear memory cost"). Nested segments are separate segments.
   */
  segment<T>(body: () => T): T {
    const outer = this.#segment;
    this.#segment = this.#nextSegment++;
    try {
      return body();
    } finally {
      this.#segment = outer;
    }
  }

  /** Exempts a tensor inside a segment from recomputation, because it is expensive to compute. Returns it. */
  keep(tensor: Tensor): Tensor {
    this.kept.add(tensor);
    return tensor;
  }

  /** Prefixes a name with the current scope. */
  label(name: string): string {
    return [...this.#scope, name].join(".");
  }

  /** Index of the next dropout layer, which gives each layer its own masks. */
  nextDropoutLayer(): number {
    return this.#dropoutLayers++;
  }
}

/**
 * Tensor shape of a parameter in memory.
 * @throws {ShapeError} if the checkpoint shape has too few dimensions for the layout
 */
function memoryShape(name: string, layout: ParameterLayout, shape: readonly number[]): Shape {
  const size = (axis: number): number => {
    const found = shape[axis];
    if (found === undefined) {
      throw new ShapeError(`${name}: a ${layout} parameter needs more than ${shape.length} dimensions`);
    }
    return found;
  };
  // Weight rows are padded because the input's channels are.
  switch (layout) {
    case "conv":
      return [size(2), size(3), paddedChannels(size(1)), size(0)];
    case "linear":
      return [1, 1, paddedChannels(size(1)), size(0)];
    case "vector":
      return [1, 1, 1, size(0)];
    case "table":
      return [size(0), 1, 1, size(1)];
  }
}
