import assert from "node:assert/strict";
import { fakePixels } from "../../support/server/fake_engine.ts";
import { Bench, type Outcome, settle } from "./scheduler_bench.ts";

/** Ticks until a request has ended. */
async function stepsUntil(bench: Bench, outcome: Outcome, most: number): Promise<number> {
  for (let steps = 0; steps <= most; steps++) {
    await settle();
    if (outcome.result) return steps;
    assert.equal(outcome.error, undefined);
    bench.engine.tick();
  }
  return Infinity;
}

Deno.test("a short request beside one that has all the batch is drawn in its own number of steps", async () => {
  const bench = new Bench({ rows: 16 });
  const long = bench.run({ client: "long", count: 8, steps: 1000, guidance: 2, seed: 100 });
  bench.engine.tick(10);
  const short = bench.run({ client: "short", steps: 2, guidance: 2 });
  assert.deepEqual(bench.engine.parked, [8], "the image that began last makes way");
  assert.equal(await stepsUntil(bench, short, 5), 2);
  assert.deepEqual(bench.engine.resumed, [8]);
  // The parked one has missed the two steps, and nothing else.
  assert.equal(await stepsUntil(bench, long, 1000), 1000 - 12 + 2);
  const images = Array.from({ length: 8 }, (_, i) => fakePixels({ label: 3, seed: 100 + i, steps: 1000 }));
  assert.deepEqual(long.result!.images, images);
  bench.assertEmpty();
});

Deno.test("clients that ask for more than there is share the batch by rows, those that ask for less get it all", () => {
  const bench = new Bench({ rows: 8 });
  const rows = () => {
    const counts: Record<string, number> = {};
    for (const { seed } of bench.engine.batch) {
      const client = "abcd"[Math.floor(seed / 100)];
      counts[client] = (counts[client] ?? 0) + 1;
    }
    return counts;
  };
  bench.run({ client: "a", count: 8, steps: 50 });
  assert.deepEqual(rows(), { a: 8 });
  bench.run({ client: "b", count: 8, steps: 50, seed: 100 });
  assert.deepEqual(rows(), { a: 4, b: 4 });
  bench.run({ client: "c", seed: 200, steps: 5 });
  assert.equal(rows().c, 1);
  assert.ok([3, 4].includes(rows().a) && rows().a + rows().b === 7);
  bench.engine.tick(5);
  assert.deepEqual(rows(), { a: 4, b: 4 }, "the place of c goes to who has had less");
});

Deno.test("if rows cost time, the batch is smaller while a client asks for little", async () => {
  const alone = { client: "a", count: 8, steps: 300, guidance: 2 };
  for (
    const [what, stepSeconds, rows] of [
      ["no time", () => 0.01, 16],
      ["as much as they are", (rows: number) => 0.01 * rows, 4],
      ["half as much", (rows: number) => 0.01 * (6 + rows), 10],
    ] as const
  ) {
    const bench = new Bench({ rows: 16, stepSeconds });
    bench.engine.up({ stepSeconds: stepSeconds(1) });
    const large = bench.run(alone);
    bench.engine.tick(10);
    const small = bench.run({ client: "b", steps: 10, guidance: 2 });
    bench.engine.tick();
    assert.equal(bench.scheduler.state.rows, rows, `more rows cost ${what}`);
    assert.ok(await stepsUntil(bench, small, 20) <= 10);
    assert.equal(bench.scheduler.state.rows, 16, "alone again");
    const others = ["c", "d", "e", "f"].map((client) => bench.run({ client, steps: 10, guidance: 2 }));
    bench.engine.tick();
    assert.ok(bench.scheduler.state.rows >= 10, "five share a batch that is slower for it");
    bench.engine.tick(2000);
    await settle();
    assert.ok([large, ...others].every(({ result }) => result));
    bench.assertEmpty();
  }
});

Deno.test("with one place, two long requests take turns of a quantum, and have had the same at any time", async () => {
  const bench = new Bench({ rows: 1 });
  bench.run({ client: "a", steps: 1000, seed: 1 });
  bench.run({ client: "b", steps: 1000, seed: 2 });
  const steps = [0, 0, 0];
  for (let step = 0; step < 1000; step++) {
    steps[bench.seeds[0]]++;
    bench.engine.tick();
    assert.ok(Math.abs(steps[1] - steps[2]) <= 100, `${steps}`);
  }
  await settle();
  assert.ok(Math.min(steps[1], steps[2]) >= 450, `${steps}`);
  assert.ok(bench.engine.parked.length <= 10, `${bench.engine.parked.length} changes`);
});

Deno.test("more clients than places: a short request waits for one that has had as much, and not for a quantum", async () => {
  const bench = new Bench({ rows: 2, queue: 100 });
  for (let i = 0; i < 10; i++) bench.run({ client: `${i}`, steps: 1000 });
  bench.engine.tick(37);
  const short = bench.run({ client: "short", steps: 3 });
  assert.ok(await stepsUntil(bench, short, 20) <= 4);
});

Deno.test("usual requests of many clients are drawn one after the other, and nothing is parked", async () => {
  const bench = new Bench({ rows: 16, queue: 100 });
  const outcomes = Array.from(
    { length: 64 },
    (_, i) => bench.run({ client: `${i}`, steps: 20, guidance: 2 }),
  );
  bench.engine.tick(80);
  // Each asks again when it has been answered.
  for (let i = 0; i < 32; i++) outcomes.push(bench.run({ client: `${i}`, steps: 20, guidance: 2 }));
  bench.engine.tick(85);
  for (let i = 0; i < 32; i++) outcomes.push(bench.run({ client: `${i}`, steps: 20, guidance: 2 }));
  bench.engine.tick(400);
  await settle();
  assert.ok(outcomes.every(({ result }) => result));
  assert.deepEqual(bench.engine.parked, []);
});

Deno.test("one client's requests share its places alike: its own short one does not wait for its long one", async () => {
  const bench = new Bench({ rows: 4 });
  bench.run({ count: 4, steps: 1000, seed: 100 });
  const short = bench.run({ count: 2, seed: 200 });
  assert.deepEqual(bench.seeds, [100, 101, 200, 201]);
  bench.run({ client: "b", count: 2, seed: 300 });
  assert.deepEqual(bench.seeds.filter((seed) => seed < 300).length, 2, "b gets the other half");
  assert.ok(await stepsUntil(bench, short, 10) <= 4);
});

Deno.test("a stream of short requests from elsewhere does not starve a long one: it gets its share of steps", async () => {
  const bench = new Bench({ rows: 1, queue: 100 });
  const long = bench.run({ client: "long", steps: 100 });
  let [steps, arrived] = [0, 0];
  const waiting = new Set<Outcome>();
  for (; !long.result && steps < 1000; steps++) {
    // Two others ask all the time.
    for (const outcome of waiting) if (outcome.result) waiting.delete(outcome);
    while (waiting.size < 2) waiting.add(bench.run({ client: `other ${arrived++}`, steps: 4 }));
    bench.engine.tick();
    await settle();
  }
  assert.ok(steps >= 280 && steps <= 310, `${steps} steps for the 100 of one of three clients`);
});

Deno.test("parked requests take places in the queue, and are not displaced from it", async () => {
  const bench = new Bench({ rows: 1, queue: 1 });
  const long = bench.run({ client: "long", steps: 100 });
  const short = bench.run({ client: "short", steps: 4 });
  bench.engine.tick(5);
  assert.deepEqual([bench.scheduler.state.waiting, bench.scheduler.state.parked], [0, 1]);
  const late = bench.run({ client: "late" });
  await settle();
  assert.deepEqual([long, short, late.error?.code], [{}, {}, "queue_full"]);
  bench.engine.tick(200);
  await settle();
  assert.ok(long.result && short.result);
  bench.assertEmpty();
});
