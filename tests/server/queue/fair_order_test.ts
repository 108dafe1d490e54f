import assert from "node:assert/strict";
import { FairOrder } from "../../../server/queue/fair_order.ts";

/** Members named by client and number, such as `a1`. */
function order(...members: string[]): FairOrder<string> {
  const fair = new FairOrder<string>();
  for (const member of members) fair.enter(member, member[0]);
  return fair;
}

Deno.test("members that wait are in the order in which they came", () => {
  const fair = order("a1", "b1", "c1");
  assert.deepEqual(fair.sorted(["c1", "a1", "b1"]), ["a1", "b1", "c1"]);
  assert.equal(fair.first(["c1", "b1"]), "b1");
  assert.equal(fair.first([]), undefined);
});

Deno.test("the client with the fewest rows in the batch comes first, whoever came first", () => {
  const fair = order("a1", "a2", "b1");
  fair.joined("a1", 1);
  assert.equal(fair.first(["a1", "a2", "b1"]), "b1");
  fair.joined("a2", 1);
  fair.joined("b1", 1);
  assert.equal(fair.first(["a1", "a2", "b1"]), "b1", "also where it was served last");
  fair.joined("b1", 1);
  fair.joined("b1", 1);
  assert.equal(fair.first(["a1", "a2", "b1"]), "a1");
});

Deno.test("clients with as many take turns: the one served last comes last, however long its members wait", () => {
  const fair = order("a1", "a2", "b1");
  fair.joined("a1", 1);
  fair.left("a1", 1);
  assert.deepEqual(fair.sorted(["a1", "a2", "b1"]), ["b1", "a2", "a1"]);
});

Deno.test("within a client the member with the fewest in the batch comes first, then the one served longest ago", () => {
  const fair = order("a1", "a2", "a3");
  fair.joined("a1", 1);
  fair.joined("a2", 1);
  assert.deepEqual(fair.sorted(["a1", "a2", "a3"]), ["a3", "a1", "a2"]);
  fair.joined("a3", 1);
  fair.left("a2", 1);
  assert.deepEqual(fair.sorted(["a1", "a2", "a3"]), ["a2", "a1", "a3"]);
  fair.left("a1", 1);
  fair.left("a3", 1);
  assert.deepEqual(fair.sorted(["a1", "a2", "a3"]), ["a1", "a2", "a3"]);
  fair.joined("a1", 1);
  fair.left("a1", 1);
  assert.deepEqual(fair.sorted(["a1", "a2", "a3"]), ["a2", "a3", "a1"]);
});

Deno.test("a client is forgotten with the last of its members, and not before", () => {
  const fair = order("a1", "a2", "b1");
  fair.joined("a1", 1);
  fair.left("a1", 1);
  fair.leave("a1");
  assert.deepEqual(fair.sorted(["a2", "b1"]), ["b1", "a2"], "it was served all the same");
  fair.leave("a2");
  fair.leave("b1");
  assert.equal(fair.size, 0);
});
