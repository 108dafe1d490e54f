import assert from "node:assert/strict";
import { fakePixels } from "../../support/server/fake_engine.ts";
import { assertRefused, Bench, settle } from "./scheduler_bench.ts";

Deno.test("a job's images are drawn each with its label and seed, and come in order with the times", async () => {
  const bench = new Bench({ rows: 2 });
  const blocker = bench.run({ steps: 3, count: 2, client: "b" });
  bench.clock.advance(500);
  const frames = { kind: "noisy", at: [1] } as const;
  const outcome = bench.run({
    class: [3, 5],
    count: 2,
    steps: 4,
    seed: 100,
    eta: 0.5,
    guidance: 1.5,
    frames,
  });
  bench.clock.advance(1000);
  bench.engine.tick(3);
  for (let i = 0; i < 4; i++) {
    bench.engine.tick(4);
    bench.clock.advance(250);
  }
  await settle();
  assert.equal(blocker.result!.images.length, 2);
  const { images, waited, seconds, model } = outcome.result!;
  assert.deepEqual([waited, seconds], [1, 1.75]);
  assert.equal(model, bench.engine.model);
  const labels = [3, 3, 5, 5];
  assert.deepEqual(images, labels.map((label, i) => fakePixels({ label, seed: 100 + i, steps: 4 })));
  const [{ id, ...first }] = bench.engine.added.slice(2);
  assert.ok(id > 0);
  assert.deepEqual(first, {
    label: 3,
    seed: 100,
    sampler: "ddim",
    steps: 4,
    spacing: "leading",
    eta: 0.5,
    guidance: 1.5,
    frames,
  });
  bench.assertEmpty();
});

Deno.test("in a full queue no client makes way for one who would then have as much in it", async () => {
  const bench = new Bench({ rows: 1, queue: 3 });
  bench.run({ client: "x" });
  const waiting = ["b", "c", "c"].map((client) => bench.run({ client }));
  const b = bench.run({ client: "b" });
  await settle();
  assert.deepEqual([...waiting, b].map(({ error }) => error?.code), [...Array(3), "queue_full"]);
});

Deno.test("a request with many images waits as one, and those of its images that wait take no place", async () => {
  const bench = new Bench({ rows: 2, queue: 1 });
  const big = bench.run({ count: 50 });
  const small = bench.run({ client: "b" });
  const waits = bench.run({ client: "c" });
  const refused = bench.run({ client: "d" });
  await settle();
  assert.deepEqual([big, small, waits, refused.error?.code], [{}, {}, {}, "queue_full"]);
});

Deno.test("in a full queue a newcomer takes the place of the newest request of a client that has more in it", async () => {
  const bench = new Bench({ rows: 1, queue: 3 });
  const greedy = Array.from({ length: 5 }, (_, seed) => bench.run({ client: "greedy", seed }));
  await settle();
  assert.deepEqual(
    greedy.map(({ error }) => error?.code),
    [...Array(4), "queue_full"],
    "one runs, three wait",
  );
  const b = bench.run({ client: "b", seed: 50 });
  await settle();
  assertRefused(greedy[3], 503, "queue_full", /at most 3 waiting requests/);
  assert.equal(greedy[3].error!.retryAfter, 1);
  assert.deepEqual([b, greedy[2], bench.scheduler.state.waiting], [{}, {}, 3]);
  const c = bench.run({ client: "c", seed: 60 });
  const d = bench.run({ client: "d", seed: 70 });
  await settle();
  assert.deepEqual([greedy[1], greedy[2].error?.code, c], [{}, "queue_full", {}]);
  assert.equal(d.error?.code, "queue_full", "everybody has one");
  const more = bench.run({ client: "greedy", seed: 9 });
  await settle();
  assert.equal(more.error?.code, "queue_full", "it has more than the others itself");
  bench.engine.tick(20);
  await settle();
  assert.ok([greedy[0], greedy[1], b, c].every(({ result }) => result));
  bench.assertEmpty();
});

for (const client of ["its own", "new ones"]) {
  Deno.test(`a stream of newcomers of ${client} does not starve a request for several images`, async () => {
    const bench = new Bench({ rows: 1, queue: 100 });
    let newcomers = 0;
    const arrive = () =>
      bench.run({ seed: 1000 + newcomers++, client: client === "new ones" ? `new ${newcomers}` : "a" });
    const big = bench.run({ count: 3 });
    for (let i = 0; i < 4; i++) arrive();
    let steps = 0;
    while (!big.result && steps < 200) {
      bench.engine.tick(2);
      arrive();
      steps += 2;
      await settle();
    }
    // Each of its two further images waits for those that were there when it last got its turn, and no longer.
    assert.ok(steps <= 30, `after ${steps} steps`);
  });
}

Deno.test("a guided image gets its two rows although plain ones that come all the time would fit sooner", async () => {
  const bench = new Bench({ rows: 2, queue: 100 });
  bench.run({ client: "x", steps: 3 });
  bench.run({ client: "y", steps: 8 });
  const guided = bench.run({ client: "guided", guidance: 2, steps: 6 });
  bench.run({ client: "z", steps: 8 });
  bench.engine.tick(3);
  assert.equal(bench.scheduler.state.rows, 1, "a row is kept for it");
  let begun: number | undefined;
  let steps = 3;
  for (; !guided.result && steps < 100; steps++) {
    // Twice as many as can be drawn.
    bench.run({ client: `plain ${steps}`, steps: 3 + steps % 2 });
    bench.engine.tick();
    if (bench.engine.batch.some(({ guidance }) => guidance === 2)) begun ??= steps;
    await settle();
  }
  assert.ok(begun! <= 10, `it begins after ${begun} steps`);
  assert.ok(steps < 100, `it is not finished after ${steps} steps`);
  bench.engine.tick(300);
  await settle();
  bench.assertEmpty();
});
