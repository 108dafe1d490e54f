import assert from "node:assert/strict";
import { stepsPerSecondIn } from "../../bench/second_minute.ts";

/** Runs steps of the given seconds each, one after another, on a clock of their own. */
function simulated(seconds: (step: number) => number) {
  let [time, step] = [0, 0];
  const run = (steps: number) => {
    for (let i = 0; i < steps; i++) time += seconds(step++);
    return Promise.resolve();
  };
  return { run, now: () => time };
}

Deno.test("a window counts the steps within it, and those across its borders by their share", async () => {
  const even = simulated(() => 0.7);
  assert.ok(Math.abs(await stepsPerSecondIn({ from: 10, to: 20 }, even.run, even.now) - 1 / 0.7) < 1e-9);
  // Slow at first, as during a warm-up: only what is inside counts.
  const warming = simulated((step) => step < 8 ? 1 : 0.25);
  assert.ok(Math.abs(await stepsPerSecondIn({ from: 8, to: 12 }, warming.run, warming.now) - 4) < 1e-9);
});

Deno.test("time in the window before the first step is lost speed", async () => {
  const { run, now } = simulated(() => 0.5);
  const late = { now: () => now() + 15, run };
  assert.ok(Math.abs(await stepsPerSecondIn({ from: 10, to: 20 }, late.run, late.now) - 1) < 1e-9);
});
