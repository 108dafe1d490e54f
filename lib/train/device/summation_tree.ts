/**
 * Order in which the gradients of an optimizer step's micro-batches are added: a fixed tree, whoever computes which of them.
 *
 * The leaves are the micro-batches in order. Neighbours are added in pairs, the sums in pairs again, and so on; where a
 * level has an odd number, the last goes up as it is. Floating-point addition is not associative, so the tree decides the
 * bits; as it depends on the number of micro-batches alone, any number of ranks gives the same ones.
 *
 * @module
 */

/** A node: the sum of micro-batches `[index 2^level, (index + 1) 2^level)`, as far as there are any. */
export interface TreeNode {
  readonly level: number;
  readonly index: number;
}

/** Range of micro-batches, from `first` up to and without `end`. */
export interface MicroRange {
  readonly first: number;
  readonly end: number;
}

/** The micro-batches of each rank: as even as possible, in order. */
export function microRange(microBatches: number, ranks: number, rank: number): MicroRange {
  const at = (boundary: number) => Math.ceil(boundary * microBatches / ranks);
  return { first: at(rank), end: at(rank + 1) };
}

/** The fewest nodes that sum the micro-batches of a range, in order. */
export function nodesOf({ first, end }: MicroRange, microBatches: number): TreeNode[] {
  const nodes: TreeNode[] = [];
  for (let at = first; at < end;) {
    let level = 0;
    // as high as begins here and ends within the range; beyond the last micro-batch there is nothing to miss
    while (at % 2 ** (level + 1) === 0 && 2 ** level < microBatches) {
      if (Math.min(microBatches, at + 2 ** (level + 1)) > end) break;
      level++;
    }
    nodes.push({ level, index: at / 2 ** level });
    at += 2 ** level;
  }
  return nodes;
}

/**
 * Additions on a device after a micro-batch, of the stack of sums that are not yet whole: the gradients are stored as a new
 * sum (`store`) or added to one (`add`); `merge` adds sum `slot + 1` to sum `slot`.
 */
export interface Addition {
  readonly kind: "store" | "add" | "merge";
  readonly slot: number;
}

/**
 * Additions after each micro-batch of a range, in order. At the end, the sums of {@linkcode nodesOf} are in slots 0, 1, ….
 */
export function planAdditions(range: MicroRange, microBatches: number): Addition[][] {
  const after = Array.from({ length: range.end - range.first }, (): Addition[] => []);
  /** Plans a node's sum in a slot; returns its last micro-batch. */
  const plan = ({ level, index }: TreeNode, slot: number): number => {
    const note = (micro: number, kind: Addition["kind"]) => {
      after[micro - range.first]!.push({ kind, slot }); // nodes of the range
      return micro;
    };
    if (level === 0) return note(index, "store");
    const [left, right] = [0, 1].map((side) => ({ level: level - 1, index: 2 * index + side }));
    const last = plan(left!, slot);
    const middle = right!.index * 2 ** right!.level;
    if (middle >= microBatches) return last;
    if (right!.level === 0 || middle === microBatches - 1) return note(middle, "add");
    return note(plan(right!, slot + 1), "merge");
  };
  for (const [slot, node] of nodesOf(range, microBatches).entries()) plan(node, slot);
  return after;
}

/** Buffers that the additions need. */
export function slotCount(additions: readonly (readonly Addition[])[]): number {
  return 1 + Math.max(...additions.flat().map(({ kind, slot }) => kind === "merge" ? slot + 1 : slot));
}

/**
 * Evaluates the tree from the sums that are there.
 *
 * @param sumOf the sum of a node, if it is there
 * @param add of the left part and the right one
 */
export function evaluateTree<T>(
  microBatches: number,
  sumOf: (node: TreeNode) => T | undefined,
  add: (left: T, right: T) => T,
): T {
  const evaluate = (node: TreeNode): T => {
    const known = sumOf(node);
    if (known !== undefined) return known;
    if (node.level === 0) throw new RangeError(`no sum of micro-batch ${node.index}`);
    const [level, index] = [node.level - 1, 2 * node.index];
    const left = evaluate({ level, index });
    return (index + 1) * 2 ** level < microBatches ? add(left, evaluate({ level, index: index + 1 })) : left;
  };
  return evaluate({ level: Math.ceil(Math.log2(microBatches)), index: 0 });
}
