import assert from "node:assert/strict";
import { pacePolling } from "../../lib/gpu/dawn/polling.ts";

/** A global scope that notes what is scheduled, and how. */
function fakeScope() {
  const scheduled: string[] = [];
  return {
    scheduled,
    setImmediate: (callback: unknown, ...args: unknown[]) => {
      scheduled.push(["now", ...args].join(" "));
      return callback;
    },
    setTimeout: (_: unknown, milliseconds: number) => scheduled.push(`in ${milliseconds} ms`),
  };
}

Deno.test("Dawn's polls pause for a millisecond after each 15 in a row", () => {
  const scope = fakeScope();
  pacePolling(scope);
  // A native function without a name, as Dawn's are.
  const poll = Object.defineProperty((() => {}).bind(undefined), "name", { value: "" });
  for (let i = 0; i < 48; i++) scope.setImmediate(poll);
  const burst = [...Array(15).fill("now"), "in 1 ms"];
  assert.deepEqual(scope.scheduled, [...burst, ...burst, ...burst]);
});

Deno.test("immediates of others are not delayed, and keep their arguments and handles", () => {
  const scope = fakeScope();
  pacePolling(scope);
  const others = [() => {}, function named() {}, Math.max, (() => {}).bind(undefined)];
  for (let i = 0; i < 40; i++) {
    const callback = others[i % 4];
    assert.equal(scope.setImmediate(callback, i, "x"), callback);
  }
  assert.deepEqual(scope.scheduled, Array.from({ length: 40 }, (_, i) => `now ${i} x`));
});
