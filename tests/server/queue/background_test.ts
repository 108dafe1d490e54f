import assert from "node:assert/strict";
import { fakePixels } from "../../support/server/fake_engine.ts";
import { assertRefused, Bench, type Outcome, settle } from "./scheduler_bench.ts";

/** Starts background jobs of one image each, with these seeds. */
function background(bench: Bench, ...seeds: number[]): Outcome[] {
  return seeds.map((seed) => bench.run({ seed, background: true, client: "jobs", steps: 4 }));
}

Deno.test("background jobs take the rows that others leave, and draw the same images as any other job", async () => {
  const bench = new Bench({ rows: 4 });
  bench.run({ seed: 100, steps: 4 });
  const outcomes = background(bench, 1, 2, 3, 4);
  assert.deepEqual(bench.seeds, [100, 1, 2, 3]);
  bench.engine.tick(4);
  assert.deepEqual(bench.seeds, [4]);
  bench.engine.tick(4);
  await settle();
  for (const [i, { result }] of outcomes.entries()) {
    assert.deepEqual(result!.images, [fakePixels({ label: 3, seed: 1 + i, steps: 4 })]);
  }
  bench.assertEmpty();
});

Deno.test("a newcomer gets rows of background jobs at once, which go on with the same step when it has gone", async () => {
  const bench = new Bench({ rows: 2 });
  const outcomes = background(bench, 1, 2, 3);
  bench.engine.tick(3);
  bench.run({ seed: 100, count: 2, steps: 2 });
  assert.deepEqual(bench.seeds, [100, 101]);
  assert.equal(bench.engine.parked.length, 2);
  bench.engine.tick(2);
  assert.deepEqual(bench.seeds.toSorted(), [1, 2], "parked images come before those not begun");
  bench.engine.tick(1);
  await settle();
  assert.deepEqual(outcomes.map(({ result }) => result !== undefined), [true, true, false]);
  bench.engine.tick(4);
  await settle();
  bench.assertEmpty();
});

Deno.test("background jobs stay out of steps that they would slow down, as on a processor", async () => {
  const bench = new Bench({ rows: 4, stepSeconds: (rows) => rows / 100 });
  background(bench, 1, 2, 3, 4);
  bench.engine.tick(1); // measures a step of four rows
  bench.run({ seed: 100, steps: 2 });
  bench.engine.tick(1);
  assert.deepEqual(bench.seeds, [100], "one row takes a quarter of the time of four");
  bench.engine.tick(1);
  assert.deepEqual(bench.seeds.toSorted(), [1, 2, 3, 4]);
  bench.engine.tick(3);
  await settle();
  bench.assertEmpty();
});

Deno.test("a guided image that waits for its second row is not kept waiting by background jobs", async () => {
  const bench = new Bench({ rows: 3 });
  bench.run({ seed: 100, steps: 4 });
  bench.run({ seed: 101, steps: 1, client: "b" });
  background(bench, 1, 2);
  bench.run({ seed: 102, guidance: 2, client: "c" });
  assert.deepEqual(bench.seeds, [100, 101], "the third row is reserved");
  bench.engine.tick(1);
  assert.deepEqual(bench.seeds, [100, 102]);
  bench.engine.tick(3);
  bench.engine.tick(4);
  await settle();
  bench.assertEmpty();
});

Deno.test("background jobs count neither in the queue nor in a client's work, and have no deadline", async () => {
  const bench = new Bench({ rows: 1, queue: 1, timeout: 10, maxWork: 4 });
  const outcomes = background(bench, 1, 2, 3, 4, 5);
  assert.deepEqual(bench.scheduler.state, {
    waiting: 0,
    running: 0,
    images: 1,
    rows: 1,
    parked: 0,
    background: 5,
    draining: false,
  });
  const own = bench.run({ seed: 100, client: "jobs", steps: 2 });
  const waiting = bench.run({ seed: 101, client: "b", steps: 2 });
  bench.engine.tick(4);
  await settle();
  assert.ok(own.result && waiting.result);
  bench.clock.advance(1_000_000);
  bench.engine.tick(5 * 4);
  await settle();
  assert.ok(outcomes.every(({ result }) => result));
  bench.assertEmpty();
});

Deno.test("a background image must fit the batch", async () => {
  const bench = new Bench({ rows: 1 });
  const outcome = bench.run({ background: true, guidance: 2 });
  await settle();
  assert.match(String(outcome.error), /guidance: expected 1: the image takes 2 rows/);
});

Deno.test("draining drops background jobs at once, running or not", async () => {
  const bench = new Bench({ rows: 2 });
  const running = bench.run({ seed: 100 });
  const outcomes = background(bench, 1, 2);
  const drained = bench.scheduler.drain(100);
  await settle();
  for (const outcome of outcomes) assertRefused(outcome, 503, "draining", /shutting down/);
  assert.deepEqual(bench.seeds, [100]);
  bench.engine.tick(2);
  await drained;
  await settle();
  assert.ok(running.result);
  bench.assertEmpty();
});
