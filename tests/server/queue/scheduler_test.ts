import assert from "node:assert/strict";
import fc from "fast-check";
import { drawSettings, type GenerateOptions } from "../../../lib/generate.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { rowsOf, type ServedModel } from "../../../server/engine/engine.ts";
import { type Job, JobError, type JobProgress, type JobResult } from "../../../server/queue/job.ts";
import { Scheduler } from "../../../server/queue/scheduler.ts";
import { FakeClock } from "../fake_clock.ts";
import { FakeEngine, fakeModel, fakePixels } from "../fake_engine.ts";

interface Options extends GenerateOptions {
  readonly client?: string;
  readonly signal?: AbortSignal;
  readonly frames?: Job["frames"];
  readonly onProgress?: Job["onProgress"];
}

/** A job without guidance, unless it is asked for. */
function job({ client = "a", signal, frames, onProgress, ...options }: Options = {}): Job {
  const draw = drawSettings({ class: 3, steps: 2, guidance: 1, ...options }, fakeModel());
  return { client, draw, frames, onProgress, signal: signal ?? new AbortController().signal };
}

/** A job's end as it stands: its result, its error, or neither yet. */
interface Outcome {
  result?: JobResult;
  error?: JobError;
}

class Bench {
  readonly engine: FakeEngine;
  readonly clock = new FakeClock();
  readonly scheduler: Scheduler;

  constructor({ rows = 4, queue = 8, timeout = 60 } = {}) {
    this.engine = new FakeEngine({ rows });
    this.scheduler = new Scheduler(this.engine, { queue, timeout }, this.clock);
  }

  /** Runs a job and looks on. */
  run(options: Options = {}): Outcome {
    const outcome: Outcome = {};
    this.scheduler.run(job(options)).then(
      (result) => outcome.result = result,
      (error) => outcome.error = error,
    );
    return outcome;
  }

  /** Seeds of the images in the batch, longest there first. */
  get seeds(): number[] {
    return this.engine.batch.map(({ seed }) => seed);
  }

  assertEmpty(): void {
    const { waiting, running, images, rows } = this.scheduler.state;
    assert.deepEqual({ waiting, running, images, rows }, { waiting: 0, running: 0, images: 0, rows: 0 });
    assert.equal(this.clock.pending, 0, "timers are called off");
    assert.deepEqual(this.engine.batch, []);
  }
}

/** Lets promises settle. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve();
}

function assertRefused(outcome: Outcome, status: number, code: string, message: RegExp): void {
  assert.ok(outcome.error instanceof JobError, `${outcome.error ?? "no error"}`);
  assert.deepEqual([outcome.error.status, outcome.error.code], [status, code]);
  assert.match(outcome.error.message, message);
}

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
    eta: 0.5,
    guidance: 1.5,
    frames,
  });
  bench.assertEmpty();
});

Deno.test("when the queue is full, nobody makes way for one who would then have as much in it", async () => {
  const bench = new Bench({ rows: 1, queue: 3 });
  bench.run({ client: "x" });
  const waiting = ["b", "c", "c"].map((client) => bench.run({ client }));
  const b = bench.run({ client: "b" });
  await settle();
  assert.deepEqual([...waiting, b].map(({ error }) => error?.code), [...Array(3), "queue_full"]);
});

for (const queue of [0, 3]) {
  Deno.test(`with room for ${queue}, exactly the requests beyond it are refused`, async () => {
    const bench = new Bench({ rows: 2, queue });
    const outcomes = Array.from({ length: 2 + queue + 4 }, (_, i) => bench.run({ seed: i, client: `${i}` }));
    await settle();
    assert.deepEqual(outcomes.map(({ error }) => error?.code), [
      ...Array(2 + queue).fill(undefined),
      ...Array(4).fill("queue_full"),
    ]);
    assertRefused(outcomes[2 + queue], 503, "queue_full", new RegExp(`${queue} requests wait already`));
    assert.equal(outcomes[2 + queue].error!.retryAfter, 1, "nothing is measured yet");
    assert.deepEqual([bench.scheduler.state.waiting, bench.scheduler.state.running], [queue, 2]);
    bench.engine.tick(2);
    const late = Array.from({ length: 3 }, (_, i) => bench.run({ seed: i, client: `late ${i}` }));
    await settle();
    assert.deepEqual(late.map(({ error }) => error?.code), [undefined, undefined, "queue_full"]);
    bench.engine.tick(20);
    await settle();
    assert.equal([...outcomes, ...late].filter(({ result }) => result).length, 2 + queue + 2);
    bench.assertEmpty();
  });
}

Deno.test("a request with many images waits as one, and those of its images that wait take no place", async () => {
  const bench = new Bench({ rows: 2, queue: 1 });
  const big = bench.run({ count: 50 });
  const small = bench.run({ client: "b" });
  const refused = bench.run({ client: "c" });
  await settle();
  assert.deepEqual([big.error, small.error, refused.error?.code], [undefined, undefined, "queue_full"]);
});

Deno.test("Retry-After is the time that what was accepted takes at the measured speed, up to the timeout", async () => {
  const bench = new Bench({ rows: 4, queue: 1, timeout: 30 });
  // A step of the fake engine takes 10 ms with two rows: 200 rows a second. How fast full batches are is not known.
  bench.run({ count: 2, steps: 100 });
  bench.engine.tick(100);
  bench.run({ count: 5, steps: 100 });
  bench.run({ client: "b", steps: 990, guidance: 2 });
  const refused = bench.run({ client: "c" });
  await settle();
  assert.equal(refused.error!.retryAfter, 13, "500 rows for the five images, 2 x 990 behind them");

  const long = new Bench({ rows: 4, queue: 0, timeout: 30 });
  long.run({ count: 2, steps: 100 });
  long.engine.tick(100);
  long.run({ count: 20, steps: 1000 });
  const again = long.run({ client: "b" });
  await settle();
  assert.equal(again.error!.retryAfter, 30, "by then all have ended");
});

for (const clients of [1, 20]) {
  Deno.test(`more work of ${clients} clients than there is time for: as much of it is finished as there is time for`, async () => {
    const bench = new Bench({ rows: 16, queue: 20, timeout: 10 });
    const outcomes = Array.from(
      { length: 20 },
      (_, i) => bench.run({ client: `${i % clients}`, count: 16, seed: 100 * i }),
    );
    bench.engine.tick(2 * 5);
    const single = bench.run({ client: "single", seed: 7 });
    const own = bench.run({ client: "0", seed: 8 });
    bench.engine.tick(2);
    assert.ok(bench.seeds.includes(7) && bench.seeds.includes(8), "a single image is let in at once");
    bench.engine.tick(2 * 4 + 2); // 160 images, the two single ones, and places that these left
    bench.clock.advance(10_000);
    await settle();
    assert.ok(single.result && own.result);
    const finished = outcomes.filter(({ result }) => result).length;
    const late = outcomes.filter(({ error }) => error?.status === 504).length;
    assert.equal(finished + late, 20);
    // Where two clients take turns, two requests may be half done.
    assert.ok(finished >= (clients === 1 ? 10 : 9), `${finished} are finished`);
    bench.assertEmpty();
  });
}

Deno.test("what cannot be done in time is refused at once, where the speed of a full batch is known", async () => {
  const bench = new Bench({ rows: 2, queue: 100, timeout: 9.5 });
  const big = (client: string) => bench.run({ client, count: 8, steps: 100 }); // 4 s at 200 rows a second
  const unmeasured = [big("a"), big("b"), big("c")];
  bench.engine.tick(100);
  const late = [big("c"), big("d")];
  const single = bench.run({ client: "d", steps: 100 });
  await settle();
  assert.ok([...unmeasured, single].every(({ error }) => !error));
  for (const outcome of late) assertRefused(outcome, 503, "overloaded", /too little of 9.5 seconds/);
  // Six images of a's eight, b's eight, c's eight, then its own: 15 s.
  assert.deepEqual(late.map(({ error }) => error!.retryAfter), [6, 6]);
  bench.engine.tick(2000);
  await settle();
  assert.ok(unmeasured.every(({ result }) => result) && single.result);
  // One that has the server for itself may try.
  const alone = bench.run({ count: 40, steps: 100 });
  bench.engine.tick(2000);
  await settle();
  assert.ok(alone.result);
  bench.assertEmpty();
});

Deno.test("how fast a batch with room is says nothing of how fast a full one is", async () => {
  const bench = new Bench({ rows: 4, timeout: 10 });
  bench.run({ steps: 100 });
  bench.engine.tick(100); // one row: 100 rows a second
  const outcomes = ["a", "b"].map((client) => bench.run({ client, count: 8, steps: 100 }));
  await settle();
  assert.deepEqual(outcomes, [{}, {}]);
  bench.engine.tick(1000);
  await settle();
  assert.ok(outcomes.every(({ result }) => result));
});

Deno.test("a single image is let in, however long it takes and however little is left of what is half way", () => {
  const bench = new Bench({ rows: 2 });
  bench.run({ client: "a", count: 5, seed: 10 });
  bench.run({ client: "b", count: 5, seed: 20 });
  bench.engine.tick(2);
  bench.run({ client: "c", seed: 30, steps: 50 });
  bench.engine.tick(4);
  assert.ok(bench.seeds.includes(30), `${bench.seeds}`);
});

Deno.test("when the queue is full, a newcomer takes the place of the newest of a client that has more in it", async () => {
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
  assertRefused(greedy[3], 503, "queue_full", /3 requests wait already/);
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

Deno.test("a free place goes to the client with the fewest images in the batch", () => {
  const bench = new Bench({ rows: 4 });
  bench.run({ client: "big", count: 64, seed: 1000 });
  bench.run({ client: "small", count: 3, seed: 1 });
  bench.run({ client: "other", seed: 50 });
  assert.deepEqual(bench.seeds, [1000, 1001, 1002, 1003]);
  bench.engine.tick(2);
  // All four places are free at once: nobody has an image in the batch, so they go round.
  assert.deepEqual(bench.seeds, [1, 50, 1004, 2]);
});

Deno.test("one client's requests share its places alike", () => {
  const bench = new Bench({ rows: 4 });
  bench.run({ count: 64, seed: 1000 });
  bench.run({ count: 2, seed: 1 });
  bench.run({ client: "b", count: 2, seed: 50 });
  bench.engine.tick(2);
  assert.deepEqual(bench.seeds, [50, 51, 1, 1004]);
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

Deno.test("a guided image gets its two rows although plain ones would fit sooner, for ever", async () => {
  const bench = new Bench({ rows: 2, queue: 100 });
  bench.run({ client: "x", steps: 3 });
  bench.run({ client: "y", steps: 4 });
  const guided = bench.run({ client: "guided", guidance: 2 });
  for (let i = 0; i < 10; i++) {
    bench.run({ client: `plain ${i}`, steps: 3 });
    bench.run({ client: `slow ${i}`, steps: 4 });
  }
  bench.engine.tick(3);
  assert.equal(bench.scheduler.state.rows, 1, "a row is kept for it");
  bench.engine.tick(1);
  assert.deepEqual(bench.engine.batch.map(rowsOf), [2]);
  bench.engine.tick(2);
  await settle();
  assert.ok(guided.result);
  bench.engine.tick(100);
  await settle();
  bench.assertEmpty();
});

Deno.test("guidance where the batch has a single row is refused as the request's fault", async () => {
  const bench = new Bench({ rows: 1 });
  await assert.rejects(bench.scheduler.run(job({ guidance: 2 })), (error: Error) => {
    assert.match(error.message, /^guidance: expected 1: a guided image takes two rows.* has 1, got 2$/);
    return error instanceof ConfigError;
  });
  bench.assertEmpty();
});

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
  const running = bench.run({ signal: leaves.signal, count: 2, steps: 50 });
  const waiting = bench.run({ signal: waits.signal, client: "b", seed: 66 });
  const next = bench.run({ client: "c", seed: 77 });
  bench.engine.tick(5);
  waits.abort();
  leaves.abort();
  await settle();
  for (const outcome of [atOnce, running, waiting]) {
    assertRefused(outcome, 499, "client_gone", /the client went away/);
  }
  assert.deepEqual(bench.seeds, [77]);
  assert.ok(bench.engine.added.every(({ seed }) => seed !== 66));
  bench.engine.tick(2);
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
  const lost = bench.run({ count: 2, steps: 5 });
  const waiting = bench.run({ client: "b", seed: 9 });
  const timed = bench.run({ client: "c", seed: 10, guidance: 2 });
  bench.engine.tick();
  bench.engine.down(new Error("the device was lost"), 4);
  const during = bench.run({ client: "d" });
  await settle();
  assertRefused(lost, 503, "engine_down", /^the image was lost with the engine, which starts again$/);
  assertRefused(during, 503, "engine_down", /no model is ready/);
  assert.deepEqual([lost.error!.retryAfter, during.error!.retryAfter], [4, 4]);
  assert.deepEqual([waiting, timed], [{}, {}]);
  assert.equal(bench.scheduler.state.waiting, 2);
  bench.engine.up();
  bench.engine.tick(4);
  await settle();
  assert.ok(waiting.result && timed.result);
  bench.assertEmpty();
});

Deno.test("what waits for an engine that stays down ends at its deadline", async () => {
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

Deno.test("a listener hears its place when it changes, the start, frames and images", async () => {
  const bench = new Bench({ rows: 1, queue: 5 });
  const heard: string[][] = [[], [], []];
  const listen = (i: number) => (progress: JobProgress) => {
    const { type } = progress;
    if (type === "queued") heard[i].push(`queued ${progress.position}`);
    else if (type === "frame") heard[i].push(`frame ${progress.index} ${progress.step}`);
    else if (type === "image") heard[i].push(`image ${progress.index}`);
    else heard[i].push(type);
  };
  bench.run({ onProgress: listen(0), client: "a", frames: { kind: "predicted", at: [0] } });
  const leaves = new AbortController();
  bench.run({ client: "b", signal: leaves.signal });
  bench.run({ onProgress: listen(1), client: "c", count: 2 });
  bench.run({ onProgress: listen(2), client: "d" });
  bench.engine.tick();
  leaves.abort();
  bench.engine.tick(7);
  await settle();
  assert.deepEqual(heard, [
    ["started", "frame 0 0", "image 0"],
    ["queued 1", "queued 0", "started", "image 0", "image 1"],
    ["queued 2", "queued 1", "queued 0", "started", "image 0"],
  ]);
});

Deno.test("a listener that throws ends its own request, and nobody else's", async () => {
  for (const when of ["queued", "started", "frame", "image"]) {
    const bench = new Bench({ rows: 1 });
    const onProgress = ({ type }: JobProgress) => {
      if (type === when) throw new Error(`no ${when}, please`);
    };
    const before = bench.run({ steps: 1 });
    const frames = { kind: "noisy", at: [0] } as const;
    const throwing = bench.run({ onProgress, client: "b", frames });
    const after = bench.run({ client: "c" });
    bench.engine.tick(6);
    await settle();
    assert.match(String(throwing.error), new RegExp(`no ${when}, please`));
    assert.ok(before.result && after.result, when);
    bench.assertEmpty();
  }
});

Deno.test("a listener may end its request from within, at any event, and hears no more of it", async () => {
  for (const [when, places] of Object.entries({ queued: [0], started: [1], frame: [1, 0], image: [1, 0] })) {
    const bench = new Bench({ rows: 1 });
    const controller = new AbortController();
    let after = 0;
    const onProgress = ({ type }: JobProgress) => {
      if (controller.signal.aborted) after++;
      if (type === when) controller.abort();
    };
    const positions: number[] = [];
    bench.run({ steps: 1 });
    const ending = bench.run({
      onProgress,
      signal: controller.signal,
      client: "b",
      frames: { kind: "noisy", at: [0] },
    });
    const next = bench.run({
      client: "c",
      onProgress: (progress) => progress.type === "queued" && positions.push(progress.position),
    });
    bench.engine.tick(6);
    await settle();
    assertRefused(ending, 499, "client_gone", /went away/);
    assert.equal(after, 0);
    assert.ok(next.result);
    assert.deepEqual(positions, places, when);
    bench.assertEmpty();
  }
});

Deno.test("a listener may end another's request: nobody hears of places that no longer are", async () => {
  const bench = new Bench({ rows: 1 });
  const other = new AbortController();
  const heard: Record<string, number[]> = { first: [], ended: [], last: [] };
  const listen = (name: string) => (progress: JobProgress) => {
    if (progress.type !== "queued") return;
    heard[name].push(progress.position);
    if (name === "first" && progress.position === 0) other.abort();
  };
  bench.run({ steps: 1 });
  bench.run({ client: "x", steps: 1 });
  bench.run({ client: "b", onProgress: listen("first") });
  bench.run({ client: "c", onProgress: listen("ended"), signal: other.signal });
  bench.run({ client: "d", onProgress: listen("last") });
  bench.engine.tick();
  assert.deepEqual(heard, { first: [1, 0], ended: [2], last: [3, 1] });
  bench.engine.tick(10);
  await settle();
  bench.assertEmpty();
});

Deno.test("2,000 jobs leave nothing behind: no timers, no listeners on signals, nothing in the books", async () => {
  const bench = new Bench({ rows: 4, queue: 10 });
  let listeners = 0;
  const signal: AbortSignal = Object.create(AbortSignal.prototype, {
    aborted: { value: false },
    addEventListener: { value: () => listeners++ },
    removeEventListener: { value: () => listeners-- },
  });
  const outcomes: Outcome[] = [];
  for (let i = 0; i < 2000; i++) {
    const guidance = i % 3 === 0 ? 2 : 1;
    const [count, steps] = [1 + i % 2, 1 + i % 5];
    outcomes.push(bench.run({ signal, client: `${i % 7}`, guidance, count, steps, seed: i }));
    bench.engine.tick(i % 3);
    if (i % 100 === 0) {
      bench.engine.down();
      bench.engine.up();
    }
  }
  bench.engine.tick(1000);
  await settle();
  const drawn = outcomes.filter(({ result }) => result).length;
  const refused = outcomes.filter(({ error }) => error).length;
  assert.ok(drawn > 500 && refused > 100 && drawn + refused === 2000, `${drawn} drawn, ${refused} refused`);
  assert.equal(listeners, 0);
  bench.assertEmpty();
});

/** What may happen to a scheduler. */
const event = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant("run" as const),
      client: fc.constantFrom("a", "b", "c"),
      count: fc.integer({ min: 1, max: 6 }),
      steps: fc.integer({ min: 1, max: 5 }),
      guidance: fc.constantFrom(1, 2),
    }),
  },
  { weight: 6, arbitrary: fc.record({ type: fc.constant("tick" as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("abort" as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("fail" as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("down" as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("reload" as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("wait" as const) }) },
);

Deno.test("whatever happens: no batch overflows, everything accepted ends, what is drawn is right", async () => {
  const property = fc.asyncProperty(fc.array(event, { maxLength: 60 }), async (events) => {
    const bench = new Bench({ rows: 3, queue: 4, timeout: 20 });
    const jobs: { outcome: Outcome; controller: AbortController; options: Options }[] = [];
    for (const { type, ...about } of events) {
      if (type === "run") {
        const controller = new AbortController();
        const options = { ...about as Options, seed: 100 * jobs.length, signal: controller.signal };
        jobs.push({ outcome: bench.run(options), controller, options });
      } else if (type === "tick") bench.engine.tick();
      else if (type === "abort") jobs.at((about as { which: number }).which % 10)?.controller.abort();
      else if (type === "fail" && bench.engine.batch.length > 0) bench.engine.fail();
      else if (type === "down") bench.engine.model ? bench.engine.down() : bench.engine.up();
      else if (type === "reload" && bench.engine.model) await bench.engine.reload();
      else if (type === "wait") bench.clock.advance(3000);
      // Rows are idle only if nobody waits, or the first to go needs two.
      const { waiting, rows } = bench.scheduler.state;
      assert.ok(waiting <= 4);
      if (waiting > 0 && bench.engine.model) assert.ok(rows >= 2, `${rows} rows are in use, ${waiting} wait`);
    }
    if (!bench.engine.model) bench.engine.up();
    bench.engine.tick(300);
    await settle();
    for (const { outcome: { result, error }, options } of jobs) {
      assert.ok(error instanceof JobError || result);
      const { count = 1, steps = 0, seed = 0 } = options;
      const expected = Array.from(
        { length: count },
        (_, i) => fakePixels({ label: 3, seed: seed + i, steps }),
      );
      if (result) assert.deepEqual(result.images, expected);
    }
    bench.assertEmpty();
  });
  await fc.assert(property, { numRuns: 200 });
});
