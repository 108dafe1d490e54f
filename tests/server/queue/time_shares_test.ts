import assert from "node:assert/strict";
import { timeShares } from "../../../server/queue/time_shares.ts";

function shares(...batches: Record<string, number>[]): number[] {
  return timeShares(batches.map((rows) => {
    const { background = 0, ...clients } = rows;
    const rowsByClient = new Map(Object.entries(clients));
    return { rowsByClient, images: rowsByClient.size + background };
  }));
}

Deno.test("each client has the same share, whatever its rows", () => {
  assert.deepEqual(shares({ a: 16 }, { b: 1 }), [1, 1]);
  assert.deepEqual(shares({ a: 8, b: 8 }, { c: 1 }, {}), [2, 1, 0]);
});

Deno.test("a client with rows in several batches divides its share", () => {
  assert.deepEqual(shares({ a: 3, b: 4 }, { a: 1 }), [1.75, 0.25]);
});

Deno.test("batches of background jobs alone slow others down by a quarter, all together", () => {
  assert.deepEqual(shares({ background: 4 }, {}), [1, 0]);
  assert.deepEqual(shares({ a: 1, background: 2 }, { background: 2 }), [1, 0.25]);
  assert.deepEqual(shares({ a: 1, b: 1 }, { background: 2 }, { background: 9 }), [2, 0.25, 0.25]);
});
