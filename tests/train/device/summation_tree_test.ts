import assert from "node:assert/strict";
import {
  evaluateTree,
  microRange,
  nodesOf,
  planAdditions,
  slotCount,
  type TreeNode,
} from "../../../lib/train/device/summation_tree.ts";

/** The tree over all micro-batches, as a formula. */
function formula(microBatches: number, sumOf: (node: TreeNode) => string | undefined): string {
  return evaluateTree(microBatches, sumOf, (left, right) => `(${left}+${right})`);
}

/** What a rank's slots hold at the end. */
function carryOut(first: number, additions: ReturnType<typeof planAdditions>): string[] {
  const slots: string[] = [];
  for (const [i, after] of additions.entries()) {
    for (const { kind, slot } of after) {
      if (kind === "store") slots[slot] = `${first + i}`;
      else if (kind === "add") slots[slot] = `(${slots[slot]}+${first + i})`;
      else slots[slot] = `(${slots[slot]}+${slots[slot + 1]})`;
    }
  }
  return slots;
}

Deno.test("neighbours are added in pairs, and the last of an odd number goes up as it is", () => {
  const leaves = ({ level, index }: TreeNode) => level === 0 ? `${index}` : undefined;
  assert.equal(formula(1, leaves), "0");
  assert.equal(formula(3, leaves), "((0+1)+2)");
  assert.equal(formula(4, leaves), "((0+1)+(2+3))");
  assert.equal(formula(7, leaves), "(((0+1)+(2+3))+((4+5)+6))");
  assert.throws(() => formula(2, () => undefined), /no sum of micro-batch 0/);
});

Deno.test("any number of ranks adds in the same order: 1 to 40 micro-batches, 1 to 9 ranks", () => {
  for (let microBatches = 1; microBatches <= 40; microBatches++) {
    const whole = formula(microBatches, ({ level, index }) => level === 0 ? `${index}` : undefined);
    for (let ranks = 1; ranks <= Math.min(9, microBatches); ranks++) {
      const sums = new Map<string, string>();
      let next = 0;
      for (let rank = 0; rank < ranks; rank++) {
        const range = microRange(microBatches, ranks, rank);
        assert.equal(range.first, next, "ranges follow one another");
        assert.ok(range.end > range.first && range.end - range.first <= Math.ceil(microBatches / ranks));
        next = range.end;
        const additions = planAdditions(range, microBatches);
        const slots = carryOut(range.first, additions);
        const nodes = nodesOf(range, microBatches);
        nodes.forEach(({ level, index }, i) => sums.set(`${level} ${index}`, slots[i]));
        assert.ok(slotCount(additions) <= Math.ceil(Math.log2(microBatches)) + 1);
      }
      assert.equal(next, microBatches);
      assert.equal(formula(microBatches, ({ level, index }) => sums.get(`${level} ${index}`)), whole);
    }
  }
});

Deno.test("one process needs as many sums as the tree has levels, without a leaf of its own", () => {
  const slots = (microBatches: number) =>
    slotCount(planAdditions({ first: 0, end: microBatches }, microBatches));
  assert.deepEqual([1, 2, 3, 4, 5, 8, 16, 4096].map(slots), [1, 1, 1, 2, 2, 3, 4, 12]);
});
