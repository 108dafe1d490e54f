import assert from "node:assert/strict";
import fc from "fast-check";
import { JobError, type JobProgress } from "../../../server/queue/job.ts";
import { fakePixels } from "../../support/server/fake_engine.ts";
import { assertRefused, Bench, type Options, type Outcome, settle } from "./scheduler_bench.ts";

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
    assertRefused(ending, 499, "client_gone", /disconnected/);
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

/** Random event of a scheduler. */
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

Deno.test("in any order of events no batch overflows, every accepted request ends, and its images are right", async () => {
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
