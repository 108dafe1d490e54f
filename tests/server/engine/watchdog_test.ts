import assert from "node:assert/strict";
import { Watchdog } from "../../../server/engine/watchdog.ts";

Deno.test("a computer that has slept does not take its worker for one that hangs", () => {
  const callbacks: (() => void)[] = [];
  let now = 0;
  const clock = { now: () => now, after: (_: number, callback: () => void) => callbacks.push(callback) };
  const late = () => assert.fail("it was not late");
  const watchdog = new Watchdog({ ...clock, after: (ms, callback) => (clock.after(ms, callback), () => {}) });
  watchdog.wait(60_000, late);
  now += 3_600_000;
  callbacks.shift()!();
  assert.equal(callbacks.length, 1, "what has come meanwhile is heard of first");
});
