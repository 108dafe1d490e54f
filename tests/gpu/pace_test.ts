import assert from "node:assert/strict";
import { Pace } from "../../lib/gpu/pace.ts";

/** Submits until a wait is due; each batch takes the device `ms`, submitting it takes no time. */
function untilDue(pace: Pace, clock: { ms: number }, ms: number): number {
  let batches = 0;
  do {
    pace.submitted();
    batches++;
  } while (!pace.due && batches < 10_000);
  clock.ms += batches * ms;
  pace.waited();
  return batches;
}

Deno.test("after the first batch about a second's work lies between two waits", () => {
  const clock = { ms: 0 };
  const pace = new Pace(() => clock.ms);
  assert.equal(pace.due, false);
  assert.deepEqual([1, 2, 3].map(() => untilDue(pace, clock, 20)), [1, 50, 50]);
  // The device turns slower: one wait is long, those after it are not.
  assert.deepEqual([1, 2, 3].map(() => untilDue(pace, clock, 500)), [50, 2, 2]);
  assert.deepEqual([1, 2].map(() => untilDue(pace, clock, 3000)), [2, 1]);
});

Deno.test("a second after the first batch a wait is due, however few there are; idle time does not count", () => {
  const clock = { ms: 0 };
  const pace = new Pace(() => clock.ms);
  untilDue(pace, clock, 1);
  clock.ms += 60_000;
  assert.equal(pace.due, false);
  pace.submitted();
  assert.equal(pace.due, false);
  clock.ms += 1000;
  assert.equal(pace.due, true);
  pace.waited();
  pace.waited();
  assert.equal(untilDue(pace, clock, 10), 1);
});
