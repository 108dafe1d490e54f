/**
 * Views of stored tensors: concatenations, upsampled images, and the gradients of those. They are not stored themselves if all
 * their readers can load from the source tensors, and all their writers can store to those. That saves a dispatch that copies,
 * and the memory of a copy that the backward pass would keep.
 *
 * @module
 */
import { upsampledFits } from "../../kernels/products/conv2d_upsampled.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import { bothAxes, type ConvAttributes } from "./attributes.ts";
import { inputsOf, type Node, type NodeOf, outputsOf } from "./operations.ts";
import type { Tensor } from "./tensor.ts";

/** Tensors that are not stored. */
export interface Views {
  /** Concatenations, by result. */
  readonly joined: ReadonlyMap<Tensor, NodeOf<"concat">["in"]>;
  /** Small images, by upsampled image. */
  readonly upsampled: ReadonlyMap<Tensor, Tensor>;
  /** Nodes that add up the gradients of upsampled images, by those gradients. */
  readonly pooled: ReadonlyMap<Tensor, NodeOf<"upsampleBackward">>;
}

/**
 * Finds the tensors that need not be stored. Software adapters store all: a copy in a cache costs them little (1 % of a step on
 * llvmpipe), and more kernels compile for longer.
 *
 * @param keep tensors that are read from outside
 */
export function findViews(nodes: readonly Node[], target: KernelTarget, keep: readonly Tensor[]): Views {
  if (target.path === "subgroup") return { joined: new Map(), upsampled: new Map(), pooled: new Map() };
  const uses = new Uses(nodes, keep);
  const joined = nodes.flatMap((node) =>
    node.kind === "concat" && node.in.a.shape[3] % 4 === 0 && uses.all(node.out.y, readsParts)
      ? [[node.out.y, node.in] as const]
      : []
  );
  const upsampled = nodes.flatMap((node) =>
    node.kind === "upsample" && uses.all(node.out.y, (reader) => readsUpsampled(reader, target, uses))
      ? [[node.out.y, node.in.x] as const]
      : []
  );
  const small = new Map(upsampled);
  const pooled = nodes.flatMap((node) => {
    if (node.kind !== "conv2dBackward" || !small.has(node.in.x) || !node.out.dx) return [];
    return [[node.out.dx, uses.pooling(node)!] as const]; // there is one, or x is stored
  });
  return { joined: new Map(joined), upsampled: small, pooled: new Map(pooled) };
}

/** Readers and writers of tensors. */
class Uses {
  readonly #readers = new Map<Tensor, Node[]>();
  readonly #written = new Map<Tensor, number>();
  readonly #keep: ReadonlySet<Tensor>;

  constructor(nodes: readonly Node[], keep: readonly Tensor[]) {
    this.#keep = new Set(keep);
    for (const [i, node] of nodes.entries()) {
      for (const tensor of outputsOf(node)) this.#written.set(tensor, i);
      for (const tensor of inputsOf(node)) {
        this.#readers.set(tensor, [...this.#readers.get(tensor) ?? [], node]);
      }
    }
  }

  /** True if a tensor is read inside of the graph only, by nodes that do so once, as `x`, and meet a condition. */
  all(tensor: Tensor, condition: (reader: Node) => boolean): boolean {
    const readers = this.#readers.get(tensor) ?? [];
    // What nothing reads is a result.
    return readers.length > 0 && !this.#keep.has(tensor) && new Set(readers).size === readers.length &&
      readers.every((node) => "x" in node.in && node.in.x === tensor && condition(node));
  }

  /** The node that adds up the gradient that a convolution writes, if the convolution can do that. */
  pooling({ in: { addend }, out: { dx } }: NodeOf<"conv2dBackward">): NodeOf<"upsampleBackward"> | undefined {
    if (!dx || addend || this.#keep.has(dx)) return undefined;
    const [reader, ...more] = this.#readers.get(dx) ?? [];
    if (reader?.kind !== "upsampleBackward" || more.length > 0) return undefined;
    const soFar = reader.in.addend && this.#written.get(reader.in.addend);
    // The gradient so far must be there before the convolution.
    return soFar === undefined || soFar < this.#written.get(dx)! ? reader : undefined;
  }
}

/** True for a window of the same number of pixels along both axes. */
function isSquare({ kernel }: ConvAttributes, side: number): boolean {
  return bothAxes(kernel).every((size) => size === side);
}

/** True if a node's kernels can read x from the two tensors that it concatenates. */
function readsParts(node: Node): boolean {
  switch (node.kind) {
    case "conv2d":
    case "conv2dBackward":
      return isSquare(node.attributes, 1) && node.attributes.stride === 1;
    case "groupNorm":
      return node.attributes.dropout === undefined;
    case "groupNormBackward":
      return node.out.dxSecond !== undefined;
    default:
      return false;
  }
}

/** True if a node's kernels can upsample x themselves, and add up its gradient. */
function readsUpsampled(node: Node, target: KernelTarget, uses: Uses): boolean {
  if (node.kind !== "conv2d" && node.kind !== "conv2dBackward") return false;
  if (!isSquare(node.attributes, 3) || node.attributes.stride !== 1) return false;
  const output = node.kind === "conv2d" ? node.out.y : node.in.dy;
  if (!upsampledFits(target, { inChannels: node.in.x.shape[3], outChannels: output.shape[3] })) return false;
  return node.kind === "conv2d" || !node.out.dx || uses.pooling(node) !== undefined;
}
