/**
 * The recorded network: an ordered list of nodes over symbolic tensors.
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

/** How a parameter starts. `fanAvg` is uniform variance scaling over the mean of fan-in and fan-out (Glorot 2010). */
export type Initializer =
  | { readonly kind: "fanAvg"; readonly scale: number }
  | { readonly kind: "normal"; readonly std: number }
  | { readonly kind: "ones" | "zeros" };

/**
 * How a parameter lies in memory against its checkpoint shape:
 * `conv` [out,in,kh,kw] -> [kh,kw,in,out]; `linear` [out,in] -> [in,out]; `vector` [n]; `table` [rows,n].
 * Input and output channels are padded to multiples of 4 with zeros.
 */
export type ParameterLayout = "conv" | "linear" | "vector" | "table";

/** A parameter: its tensor in the graph and how it is stored in checkpoints. */
export interface Parameter {
  /** The checkpoint's key, e.g. `down_blocks.0.resnets.0.conv1.weight`. */
  readonly name: string;
  readonly tensor: Tensor;
  readonly layout: ParameterLayout;
  /** Shape in the checkpoint (PyTorch's order). */
  readonly shape: readonly number[];
  readonly init: Initializer;
}

/** Records nodes, inputs and parameters in order. */
export class Graph {
  /** How activations, their gradients and the weights of products lie in memory; all else is float32. */
  readonly stored: FloatType;
  readonly nodes: Node[] = [];
  readonly parameters: Parameter[] = [];
  readonly inputs: Map<string, Tensor> = new Map<string, Tensor>();
  /** Which segment a node belongs to; see {@linkcode Graph.segment}. */
  readonly segments: Map<Node, number> = new Map<Node, number>();
  /** Tensors inside of segments that are not worth computing again; see {@linkcode Graph.keep}. */
  readonly kept: Set<Tensor> = new Set<Tensor>();
  #names = new Set<string>();
  #nextId = 0;
  #dropoutLayers = 0;
  #scope: string[] = [];
  #segment: number | undefined;
  #nextSegment = 0;

  /** @param stored how activations lie in memory; float16 needs a device with `shader-f16` */
  constructor(stored: FloatType = "float32") {
    this.stored = stored;
  }

  /** Declares a tensor that is bound from outside: an activation, unless its type is given. */
  input(name: string, shape: Shape, type: ElementType = this.stored): Tensor {
    if (this.inputs.has(name)) throw new ShapeError(`input ${name} is declared twice`);
    const tensor = this.tensor(name, shape, "input", false, type);
    this.inputs.set(name, tensor);
    return tensor;
  }

  /**
   * Declares a parameter under the current scope.
   * @param shape its shape in the checkpoint; the memory layout follows from `layout`
   */
  parameter(name: string, layout: ParameterLayout, shape: readonly number[], init: Initializer): Tensor {
    const full = this.label(name);
    if (this.#names.has(full)) throw new ShapeError(`parameter ${full} is declared twice`);
    this.#names.add(full);
    const isWeight = layout === "conv" || layout === "linear";
    const type = isWeight ? this.stored : "float32";
    const tensor = this.tensor(full, memoryShape(layout, shape), "parameter", true, type);
    this.parameters.push({ name: full, tensor, layout, shape, init });
    return tensor;
  }

  /**
   * Makes a tensor; operations call this for their results.
   * @param name as it shall read in messages, scope included
   * @param type default that of activations for them, float32 for what is not of role `activation`
   */
  tensor(
    name: string,
    shape: Shape,
    role: Role,
    trainable: boolean,
    type: ElementType = role === "activation" ? this.stored : "float32",
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

  /** Runs `body` with `name` in front of every parameter and label recorded inside. */
  scope<T>(name: string, body: () => T): T {
    this.#scope.push(name);
    try {
      return body();
    } finally {
      this.#scope.pop();
    }
  }

  /**
   * Runs `body` and makes what it records one segment: what none but its own nodes read can be dropped after the forward
   * pass and computed again for the backward pass (Chen et al. 2016, "Training deep nets with sublinear memory cost").
   * Segments within segments are segments of their own.
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

  /** Marks a result inside of a segment as one to keep all the same, because it takes long to compute. Returns it. */
  keep(tensor: Tensor): Tensor {
    this.kept.add(tensor);
    return tensor;
  }

  /** A name under the current scope. */
  label(name: string): string {
    return [...this.#scope, name].join(".");
  }

  /** A number for the next dropout layer, so that masks differ between layers. */
  nextDropoutLayer(): number {
    return this.#dropoutLayers++;
  }
}

/** The shape whose padded element count is that of the parameter in memory. */
function memoryShape(layout: ParameterLayout, shape: readonly number[]): Shape {
  // A weight's rows are padded as its columns are, because its input's channels are.
  switch (layout) {
    case "conv":
      return [shape[2], shape[3], paddedChannels(shape[1]), shape[0]];
    case "linear":
      return [1, 1, paddedChannels(shape[1]), shape[0]];
    case "vector":
      return [1, 1, 1, shape[0]];
    case "table":
      return [shape[0], 1, 1, shape[1]];
  }
}
