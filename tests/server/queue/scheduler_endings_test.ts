import assert from "node:assert/strict";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import type { ServedModel } from "../../../server/engine/engine.ts";
import { fakeModel, fakePixels } from "../../support/server/fake_engine.ts";
import { assertRefused, Bench, type Options, settle } from "./scheduler_bench.ts";

Deno.test("a request that runs out of time is refused, waiting or running, and its place is free", async () => {
  const bench = new Bench({ rows: 2, timeout: 10 });
  const running = bench.run({ count: 3, steps: 100, client: "a" });
  bench.clock.advance(1000);
  const waiting = bench.run({ steps: 100, client: "b" });
  bench.clock.advance(8999);
  const next = bench.run({ seed: 7, client: "c" });
  await settle();
  assert.equal(running.error, undefined);
  bench.clock.advance(1);
  await settle();
  assertRefused(running, 504, "timeout", /not finished within 10 seconds/);
  assert.deepEqual(bench.engine.removed, [1, 2]);
  assert.equal(bench.engine.batch.length, 2, "both that waited have joined");
  bench.clock.advance(1000);
  await settle();
  assertRefused(waiting, 504, "timeout", /10 seconds/);
  assert.deepEqual(bench.seeds, [7]);
  bench.engine.tick(2);
  await settle();
  assert.ok(next.result);
  bench.assertEmpty();
});

Deno.test("a client that goes away: what waits never runs, what runs leaves the batch", async () => {
  const bench = new Bench({ rows: 2 });
  const [gone, leaves, waits] = [new AbortController(), new AbortController(), new AbortController()];
  gone.abort();
  const atOnce = bench.run({ signal: gone.signal });
  const running = bench.run({ signal: leaves.signal, guidance: 2, steps: 50 });
  const waiting = bench.run({ signal: waits.signal, client: "b", seed: 66, steps: 50 });
  const next = bench.run({ client: "c", seed: 77, steps: 50 });
  bench.engine.tick(5);
  waits.abort();
  leaves.abort();
  await settle();
  for (const outcome of [atOnce, running, waiting]) {
    assertRefused(outcome, 499, "client_gone", /the client disconnected/);
  }
  assert.deepEqual(bench.seeds, [77]);
  assert.ok(bench.engine.added.every(({ seed }) => seed !== 66));
  bench.engine.tick(50);
  await settle();
  assert.ok(next.result);
  bench.assertEmpty();
});

Deno.test("after 200 disconnects at once the next request is drawn in its own number of steps", async () => {
  const bench = new Bench({ rows: 4, queue: 500 });
  const controllers = Array.from({ length: 200 }, () => new AbortController());
  controllers.forEach(({ signal }, i) =>
    bench.run({ signal, count: 4, steps: 100, client: `${i}`, guidance: 2 })
  );
  const last = bench.run({ client: "patient", steps: 3 });
  for (const controller of controllers) controller.abort();
  bench.engine.tick(3);
  await settle();
  assert.ok(last.result);
  assert.ok(bench.engine.added.length <= 2 * controllers.length + 1);
  bench.assertEmpty();
});

Deno.test("an image that cannot be drawn fails its own request alone", async () => {
  const bench = new Bench({ rows: 4 });
  const failing = bench.run({ count: 3, steps: 5 });
  const other = bench.run({ client: "b", seed: 9, steps: 5 });
  bench.engine.tick();
  const fault = new Error("/models/secret: a value is not finite");
  bench.engine.fail(fault);
  await settle();
  assert.equal(failing.error!.cause, fault, "for the log");
  assertRefused(failing, 500, "failed", /^image 1 of 3 could not be drawn; the server's log says why$/);
  assert.deepEqual(bench.seeds, [9]);
  bench.engine.tick(4);
  await settle();
  assert.ok(other.result);
  bench.assertEmpty();
});

Deno.test("an engine that goes down: what is in the batch is lost, what waits is drawn when it is back", async () => {
  const bench = new Bench({ rows: 2 });
  const lost = bench.run({ guidance: 2, steps: 5 });
  const waiting = bench.run({ client: "b", seed: 9, steps: 9 });
  const timed = bench.run({ client: "c", seed: 10, guidance: 2 });
  bench.engine.tick();
  bench.engine.down(new Error("the device was lost"), 4);
  const during = bench.run({ client: "d" });
  await settle();
  assertRefused(lost, 503, "engine_down", /^the image was lost because the engine failed; it is restarting$/);
  assertRefused(during, 503, "engine_down", /no model is ready/);
  assert.deepEqual([lost.error!.retryAfter, during.error!.retryAfter], [4, 4]);
  assert.deepEqual([waiting, timed], [{}, {}]);
  assert.equal(bench.scheduler.state.waiting, 2);
  bench.engine.up();
  bench.engine.tick(20);
  await settle();
  assert.ok(waiting.result && timed.result);
  bench.assertEmpty();
});

Deno.test("an engine that goes down loses what is parked, too", async () => {
  const bench = new Bench({ rows: 1 });
  const parked = bench.run({ steps: 50 });
  const other = bench.run({ client: "b" });
  bench.engine.tick(2);
  assert.deepEqual(bench.engine.parked, [1]);
  bench.engine.down();
  await settle();
  for (const outcome of [parked, other]) {
    assertRefused(outcome, 503, "engine_down", /lost because the engine failed/);
  }
  bench.engine.up();
  bench.assertEmpty();
});

Deno.test("a parked request ends like any other: by its client, its deadline, a failure or a reload", async () => {
  const ends: [string, (bench: Bench, controller: AbortController) => unknown, number | undefined][] = [
    ["abort", (_, controller) => controller.abort(), 499],
    ["deadline", ({ clock }) => clock.advance(60_000), 504],
    ["failure", ({ engine }) => engine.fail(new Error("not finite"), 1), 500],
    ["reload", ({ engine }) => engine.up({ classes: fakeModel().classes.toReversed() }), undefined],
  ];
  for (const [what, end, status] of ends) {
    const bench = new Bench({ rows: 1 });
    const controller = new AbortController();
    const old = bench.engine.model;
    const outcome = bench.run({ steps: 50, signal: controller.signal });
    bench.run({ client: "b", steps: 3 });
    bench.engine.tick(4);
    assert.deepEqual([bench.scheduler.state.parked, bench.scheduler.state.waiting], [1, 0], what);
    end(bench, controller);
    bench.engine.tick(60);
    await settle();
    assert.equal(outcome.error?.status, status, what);
    if (status === undefined) {
      assert.equal(outcome.result?.model, old, "it is finished with the model it began with");
    }
    bench.assertEmpty();
  }
});

Deno.test("a request that waits for an engine that stays down ends at its deadline", async () => {
  const bench = new Bench({ rows: 1, timeout: 5 });
  bench.run({ steps: 5 });
  const waiting = bench.run({ client: "b" });
  bench.engine.down();
  bench.clock.advance(5000);
  await settle();
  assertRefused(waiting, 504, "timeout", /5 seconds/);
  bench.assertEmpty();
});

const otherModels: [string, Partial<ServedModel>][] = [
  ["classes", { classes: fakeModel().classes.toReversed() }],
  ["more classes", { classes: [...fakeModel().classes, "fox"] }],
  ["size", { height: 64 }],
  ["timesteps", { schedule: new NoiseSchedule({ numTrainTimesteps: 500 }) }],
];
for (const [what, changes] of otherModels) {
  Deno.test(`a model with other ${what} comes: what waits is refused, what is in the batch is finished`, async () => {
    const bench = new Bench({ rows: 2 });
    const old = bench.engine.model;
    const running = bench.run({ steps: 4 });
    // The first needs both rows, the others would fit beside what runs.
    const waiting = [2, 1, 1].map((guidance, i) => bench.run({ client: `${i}`, seed: 500, guidance }));
    bench.engine.tick();
    bench.engine.up(changes);
    await settle();
    for (const outcome of waiting) assertRefused(outcome, 503, "engine_down", /the model was replaced/);
    assert.ok(bench.engine.added.every(({ seed }) => seed !== 500), "none began in another's place");
    bench.engine.tick(3);
    await settle();
    assert.equal(running.result!.model, old);
    bench.assertEmpty();
  });
}

Deno.test("what waits is refused where a new model cannot draw its variance, and only there", async () => {
  const networkOf = (outChannels: number) => presetConfig("tiny", 10, { outChannels });
  const learning = new NoiseSchedule({ varianceType: "learned_range" });
  const learned = { config: networkOf(6), schedule: learning };
  const fixed = { config: networkOf(3), schedule: new NoiseSchedule() };
  const edit = {
    image: new Float32Array(32 * 32 * 3),
    mask: new Float32Array(32 * 32).fill(1),
    resamplings: 2,
  };
  const cases: [
    what: string,
    options: Options,
    from: Partial<ServedModel>,
    to: Partial<ServedModel>,
    fits: boolean,
  ][] = [
    ["asked for, and not predicted", { variance: "learned_range" }, learned, fixed, false],
    ["asked for, and predicted", { variance: "learned_range" }, learned, learned, true],
    ["the model's own", {}, fixed, learned, true],
    ["the model's own", {}, learned, fixed, true],
    ["of a file whose network predicts none", {}, fixed, { ...fixed, schedule: learning }, false],
    ["of another sampler", { sampler: "ddim" }, fixed, { ...fixed, schedule: learning }, true],
    ["that RePaint cannot jump back with", { edit, steps: 4 }, fixed, learned, false],
    ["that RePaint can jump back with", { edit, steps: 4, variance: "fixed_small" }, fixed, learned, true],
  ];
  for (const [what, options, from, to, fits] of cases) {
    const bench = new Bench({ rows: 1 });
    bench.engine.up(from);
    const running = bench.run();
    const waiting = bench.run({ client: "b", sampler: "ddpm", steps: 2, model: from, ...options });
    bench.engine.up(to);
    bench.engine.tick(20);
    await settle();
    assert.ok(running.result, what);
    if (fits) assert.ok(waiting.result, `${what}: ${waiting.error}`);
    else assertRefused(waiting, 503, "engine_down", /the model was replaced/);
    bench.assertEmpty();
  }
});

Deno.test("a reload with a request half begun: it is drawn by the new model from its first image on", async () => {
  const bench = new Bench({ rows: 1 });
  const old = bench.engine.model;
  const half = bench.run({ count: 3, steps: 4 });
  const other = bench.run({ client: "b", seed: 50, steps: 4 });
  bench.engine.tick(9);
  assert.deepEqual(bench.seeds, [50], "two of its images are finished, the third waits");
  await bench.engine.reload("/models/new");
  assert.deepEqual(bench.seeds, [50], "which has begun with the old model");
  bench.engine.tick(20);
  await settle();
  assert.equal(other.result!.model, old);
  assert.equal(half.result!.model.path, "/models/new");
  assert.deepEqual(bench.engine.added.map(({ seed }) => seed), [0, 1, 50, 0, 1, 2]);
  assert.deepEqual(half.result!.images, [0, 1, 2].map((seed) => fakePixels({ label: 3, seed, steps: 4 })));
  bench.assertEmpty();
});

Deno.test("a reload takes the images of a request half begun out of the batch", async () => {
  const bench = new Bench({ rows: 2 });
  const half = bench.run({ count: 3, steps: 4 });
  bench.engine.tick(2);
  await bench.engine.reload();
  assert.deepEqual(bench.engine.removed, [1, 2]);
  bench.engine.tick(8);
  await settle();
  assert.equal(half.result!.model, bench.engine.model);
  bench.assertEmpty();
});

Deno.test("draining refuses what is new and what waits, finishes what has begun, and then resolves", async () => {
  const bench = new Bench({ rows: 1 });
  const begun = bench.run({ count: 2 });
  const waits = bench.run({ client: "b" });
  let drained = false;
  bench.scheduler.drain(10).then(() => drained = true);
  const late = bench.run();
  await settle();
  assertRefused(waits, 503, "draining", /shutting down/);
  bench.engine.tick(3);
  await settle();
  assertRefused(late, 503, "draining", /shutting down/);
  assert.ok(late.error!.retryAfter! >= 1);
  assert.equal(drained, false);
  assert.equal(bench.scheduler.state.draining, true);
  bench.engine.tick(1);
  await settle();
  assert.equal(drained, true);
  assert.ok(begun.result);
  assert.equal(bench.engine.added.length, 2, "none began in its place");
  bench.assertEmpty();
  await bench.scheduler.drain(10);
  assert.equal(bench.clock.pending, 0);
});

Deno.test("draining ends in time, and at once when asked a second time for that", async () => {
  for (const again of [false, true]) {
    const bench = new Bench({ rows: 1 });
    const outcome = bench.run({ count: 2 });
    const drains = [bench.scheduler.drain(10)];
    bench.clock.advance(9999);
    await settle();
    assert.deepEqual(outcome, {});
    if (again) {
      drains.push(bench.scheduler.drain(0));
      bench.clock.advance(0);
    } else bench.clock.advance(1);
    await Promise.all(drains);
    await settle();
    assertRefused(outcome, 503, "draining", /shutting down/);
    assert.equal(bench.engine.added.length, 1, "its second image did not begin in the place of its first");
    bench.assertEmpty();
  }
});
