import assert from "node:assert/strict";
import { TurnOrder } from "../../../server/engine/turn_order.ts";

/** Seconds that each model gets of some turns, all of them busy. */
function times(
  order: TurnOrder,
  turns: number,
  seconds: Readonly<Record<string, number>>,
): Record<string, number> {
  const got = Object.fromEntries(Object.keys(seconds).map((name) => [name, 0]));
  for (let i = 0; i < turns; i++) {
    const model = order.next(Object.keys(seconds))!;
    got[model]! += seconds[model]!;
    order.charge(model, seconds[model]!);
  }
  return got;
}

Deno.test("models with equal weights get equal times, however long their turns are", () => {
  const { a, b } = times(new TurnOrder(), 1000, { a: 0.1, b: 0.7 });
  assert.ok(Math.abs(a! - b!) <= 0.7, `${a} and ${b}`);
});

Deno.test("times are in proportion to weights", () => {
  const order = new TurnOrder();
  order.setWeight("a", 3);
  order.setWeight("b", 1.5);
  const { a, b, c } = times(order, 1100, { a: 0.1, b: 0.1, c: 0.1 });
  assert.ok(Math.abs(a! / c! - 3) < 0.05 && Math.abs(b! / c! - 1.5) < 0.05, `${a}, ${b}, ${c}`);
});

Deno.test("a model that was idle has its turn next, and no credit for the time", () => {
  const order = new TurnOrder();
  times(order, 100, { a: 0.1 });
  assert.equal(order.next(["a", "b"]), "b");
  const { a, b } = times(order, 100, { a: 0.1, b: 0.1 });
  assert.ok(Math.abs(a! - b!) < 0.15, `${a} and ${b}`);
  assert.equal(order.next([]), undefined);
});
