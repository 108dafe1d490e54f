import assert from "node:assert/strict";
import { CheckpointError, DeviceError } from "../../../lib/errors.ts";
import { Scheduler } from "../../../server/queue/scheduler.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { FakeEngine, type FakeEngineOptions, fakePixels } from "../../support/server/fake_engine.ts";
import { assertRefused, job, type Options, type Outcome, settle } from "./scheduler_bench.ts";

interface ModelsBench {
  readonly engines: Readonly<Record<string, FakeEngine>>;
  readonly clock: FakeClock;
  readonly scheduler: Scheduler;
  readonly told: string[];
  /** Runs a job of two steps for a model. */
  run(model: string, options?: Options): Promise<Outcome>;
  /** Names of the models on the device. */
  resident(): string[];
}

interface BenchOptions extends FakeEngineOptions {
  /** Only the first model is on the device; default: all that fit, in their order. */
  readonly cold?: boolean;
  /** Memory that changes. */
  readonly memory?: () => number;
}

/** A device of some bytes. */
async function bench(
  memory: number,
  sizes: Record<string, number>,
  { cold = false, memory: changing, ...options }: BenchOptions = {},
): Promise<ModelsBench> {
  const engines: Record<string, FakeEngine> = {};
  const all = () => Object.values(engines);
  let used = 0;
  for (const [name, bytes] of Object.entries(sizes)) {
    const resident = used + bytes <= memory && !(cold && used > 0);
    if (resident) used += bytes;
    engines[name] = new FakeEngine({ rows: 2, ...options, name, bytes, resident, model: { id: name } });
    engines[name].room = () =>
      memory - all().filter(({ ready }) => ready).reduce((sum, { bytes }) => sum + bytes!, 0);
  }
  const clock = new FakeClock();
  const told: string[] = [];
  const scheduler = new Scheduler(
    {
      models: all(),
      get memory() {
        return changing?.() ?? memory;
      },
    },
    { queue: 8, timeout: 1000, maxWork: 1e9 },
    clock,
    {
      onLoaded: (name) => told.push(`+${name}`),
      onEvicted: (name) => told.push(`-${name}`),
      onLoadFailed: (name, error) => told.push(`${name}: ${error.message}`),
    },
  );
  await settle();
  return {
    engines,
    clock,
    scheduler,
    told,
    async run(model, options) {
      const outcome: Outcome = {};
      scheduler.run({ ...job(options), model }).then(
        (result) => outcome.result = result,
        (error) => outcome.error = error,
      );
      await settle();
      return outcome;
    },
    resident: () => all().filter(({ ready }) => ready).map(({ name }) => name),
  };
}

Deno.test("a request waits until its model is loaded, in place of the least recently used", async () => {
  const { run, engines: { a, b }, clock, resident, told } = await bench(2, { a: 1, b: 1, c: 1 });
  await run("b");
  await run("a");
  b!.tick(2);
  clock.advance(1);
  a!.tick(2);
  const other = await run("c");
  assert.deepEqual([resident(), told], [["a", "c"], ["-b", "+c"]]);
  const again = await run("b", { seed: 1 });
  assert.deepEqual([resident(), told.slice(2)], [["b", "c"], ["-a", "+b"]], "c is in use");
  b!.tick(2);
  await settle();
  assert.equal(again.result!.model.id, "b");
  assert.equal(other.result, undefined);
});

Deno.test("models that requests use are not evicted; what waits is loaded when they have ended", async () => {
  const { run, engines: { a, c }, resident, told } = await bench(2, { a: 2, c: 2 });
  const first = await run("a");
  const second = await run("c");
  assert.deepEqual([resident(), told], [["a"], []]);
  a!.tick(2);
  await settle();
  assert.ok(first.result);
  assert.deepEqual([resident(), told], [["c"], ["-a", "+c"]]);
  c!.tick(2);
  await settle();
  assert.ok(second.result);
});

Deno.test("as many leave as need to, and no more", async () => {
  const { run, resident } = await bench(4, { a: 1, b: 1, c: 1, d: 1, large: 3 });
  await run("large");
  assert.deepEqual(resident(), ["d", "large"]);
});

Deno.test("where the size is not known, one after the other leaves until the model fits", async () => {
  const { run, engines: { large }, resident, told } = await bench(3, { a: 1, b: 1, c: 1, large: 2 }, {
    bytesKnown: false,
  });
  const outcome = await run("large");
  await settle();
  assert.deepEqual([resident(), told], [["c", "large"], ["-a", "-b", "+large"]]);
  large!.tick(2);
  await settle();
  assert.ok(outcome.result);
});

Deno.test("with steady requests for one model, another has its turn after a while", async () => {
  const { run, engines: { a, c }, clock, resident } = await bench(1, { a: 1, c: 1 });
  const outcomes = [await run("a", { steps: 3 })];
  const waiting = await run("c");
  for (let second = 0; second < 9; second++) {
    clock.advance(1000);
    outcomes.push(await run("a", { seed: second, steps: 3 }));
    a!.tick(2);
    await settle();
  }
  assert.deepEqual([resident(), waiting.result], [["a"], undefined]);
  clock.advance(1000);
  // Held now: requests begun are drawn to their end, others wait.
  const late = await run("a", { seed: 100 });
  a!.tick(1);
  await settle();
  assert.ok(outcomes.every(({ result }) => result));
  assert.deepEqual([resident(), late.result, c!.batch.length], [["c"], undefined, 1]);
  await run("c", { seed: 1 });
  c!.tick(2);
  await settle();
  assert.ok(waiting.result);
  clock.advance(10_000);
  await settle();
  assert.deepEqual(resident(), ["a"], "whose turn it is again");
  a!.tick(2);
  await settle();
  assert.ok(late.result);
});

Deno.test("a request that is given up while it waits changes nothing", async () => {
  const { run, engines: { a }, clock, resident } = await bench(1, { a: 1, c: 1 });
  await run("a", { steps: 50 });
  const leaving = new AbortController();
  const waiting = await run("c", { signal: leaving.signal });
  leaving.abort();
  await settle();
  assertRefused(waiting, 499, "client_gone", /disconnected/);
  clock.advance(20_000);
  const next = await run("a");
  a!.tick(2);
  await settle();
  assert.ok(next.result);
  assert.deepEqual(resident(), ["a"]);
});

Deno.test("background jobs make way for a request, start over when their model is back, and get the same images", async () => {
  const { run, engines: { a, c }, clock, resident } = await bench(1, { a: 1, c: 1 });
  const background = await run("a", { seed: 7, background: true, steps: 4 });
  a!.tick(3);
  const request = await run("c");
  assert.deepEqual([resident(), a!.removed.length], [["c"], 1]);
  c!.tick(2);
  await settle();
  assert.ok(request.result);
  assert.deepEqual(resident(), ["c"], "requests have just used it");
  clock.advance(60_000);
  await settle();
  assert.deepEqual(resident(), ["a"]);
  a!.tick(4);
  await settle();
  assert.deepEqual(background.result!.images, [fakePixels({ label: 3, seed: 7, steps: 4 })]);
});

Deno.test("a background job does not evict what requests have used within a minute", async () => {
  const { run, engines: { a, c }, clock, resident } = await bench(1, { a: 1, c: 1 });
  await run("a");
  const background = await run("c", { background: true });
  a!.tick(2);
  await settle();
  clock.advance(59_999);
  await settle();
  assert.deepEqual(resident(), ["a"]);
  clock.advance(1);
  await settle();
  assert.deepEqual(resident(), ["c"]);
  c!.tick(2);
  await settle();
  assert.ok(background.result);
});

Deno.test("a model that cannot be loaded fails its requests, the others go on, and it is tried again", async () => {
  const { run, engines: { a, c }, clock, told } = await bench(2, { a: 2, c: 1 });
  c!.loadError = new CheckpointError("/models/c: cut short");
  const other = await run("a", { steps: 3 });
  a!.tick(1);
  const failed = await run("c");
  a!.tick(2);
  await settle();
  assertRefused(failed, 503, "model_failed", /^the model c cannot be loaded; the server's log says why$/);
  assert.ok(other.result);
  assert.deepEqual(told, ["-a", "c: /models/c: cut short", "+a"]);
  const loads = c!.loads;
  assertRefused(await run("c"), 503, "model_failed", /c cannot be loaded/);
  assert.equal(c!.loads, loads, "not for each request");
  const back = await run("a");
  a!.tick(2);
  await settle();
  assert.ok(back.result);
  c!.loadError = undefined;
  clock.advance(10_000);
  const again = await run("c");
  c!.tick(2);
  await settle();
  assert.ok(again.result);
});

Deno.test("a model whose loading ends the engine is refused the second time, for longer each time, and the others go on", async () => {
  const { run, engines: { a, c }, clock, told } = await bench(2, { a: 1, c: 2 });
  const crash = () => {
    for (const engine of [a, c]) engine!.down(new DeviceError("the GPU worker failed"));
    throw new DeviceError("the GPU worker failed");
  };
  const restart = async () => {
    a!.up();
    c!.describe();
    await settle();
  };
  c!.onLoad = crash;
  const refused = await run("c");
  assert.deepEqual([refused.error, c!.loads], [undefined, 1], "once may be by chance");
  await restart();
  assertRefused(refused, 503, "model_failed", /^the model c cannot be loaded; the server's log says why$/);
  assert.deepEqual([c!.loads, told.at(-1)], [2, "c: the GPU worker failed"]);
  for (const seconds of [10, 20, 40]) {
    await restart();
    const other = await run("a");
    a!.tick(2);
    await settle();
    assert.ok(other.result);
    clock.advance(1000 * seconds - 1);
    assertRefused(await run("c"), 503, "model_failed", /c cannot be loaded/);
    clock.advance(1);
    assertRefused(await run("c"), 503, "model_failed", /c cannot be loaded/);
  }
  assert.equal(c!.loads, 5);
  await restart();
  c!.onLoad = () => {};
  clock.advance(80_000);
  const mended = await run("c");
  c!.tick(2);
  await settle();
  assert.ok(mended.result);
});

Deno.test("a model that does not fit even alone is tried once, and holds up no other", async () => {
  const { run, engines: { a, large }, clock, resident, told } = await bench(2, { a: 1, large: 3 });
  const message = /^the model large does not fit into the device's memory: large needs 3 bytes$/;
  assertRefused(await run("large"), 503, "model_failed", message);
  assert.deepEqual(told, ["-a", "large: large needs 3 bytes", "+a"]);
  const other = await run("a");
  a!.tick(2);
  await settle();
  assert.ok(other.result);
  for (const background of [false, true]) {
    clock.advance(70_000);
    assertRefused(await run("large", { background }), 503, "model_failed", message);
    assert.deepEqual([resident(), large!.loads, told.slice(3)], [["a"], 1, ["large: large needs 3 bytes"]]);
    told.pop();
  }
});

Deno.test("a model that did not fit is tried again once it is another, or there is more memory", async () => {
  const memory = { bytes: 2 };
  const { run, engines: { large }, clock } = await bench(2, { a: 1, large: 3 }, {
    memory: () => memory.bytes,
  });
  assertRefused(await run("large"), 503, "model_failed", /does not fit/);
  clock.advance(10_000);
  memory.bytes = 3;
  large!.room = () => 3;
  const outcome = await run("large");
  large!.tick(2);
  await settle();
  assert.ok(outcome.result);

  const { run: runAgain, engines: { large: replaced }, clock: later } = await bench(2, { a: 1, large: 3 });
  assertRefused(await runAgain("large"), 503, "model_failed", /does not fit/);
  later.advance(10_000);
  replaced!.describe();
  assertRefused(await runAgain("large"), 503, "model_failed", /does not fit/);
  assert.equal(replaced!.loads, 2);
});

Deno.test("background jobs of models that do not fit together take turns, and draw begun images to their end", async () => {
  const { run, engines: { a, b, c }, clock, resident, told } = await bench(1, { a: 1, b: 1, c: 1 });
  const outcomes: Record<string, Outcome[]> = { a: [], b: [], c: [] };
  const start = async (model: string, seed: number) => {
    outcomes[model]!.push(await run(model, { seed, background: true, steps: 4 }));
  };
  for (const model of ["a", "b", "c"]) for (let seed = 0; seed < 3; seed++) await start(model, seed);
  clock.advance(59_999);
  await settle();
  assert.deepEqual(resident(), ["a"]);
  a!.tick(1);
  clock.advance(1);
  await settle();
  assert.deepEqual([resident(), a!.batch.length], [["a"], 2], "images that have begun are finished");
  a!.tick(3);
  await settle();
  assert.deepEqual([resident(), a!.removed], [["b"], []]);
  await start("a", 3);
  for (let round = 0; round < 9; round++) {
    for (const engine of [a, b, c]) engine!.tick(4);
    clock.advance(60_000);
    await settle();
    for (const engine of [a, b, c]) engine!.tick(4);
    await settle();
  }
  assert.deepEqual(told.slice(0, 6), ["-a", "+b", "-b", "+c", "-c", "+a"], "none is passed over");
  for (const [model, all] of Object.entries(outcomes)) {
    for (const [seed, { result }] of all.entries()) {
      assert.deepEqual(result?.images, [fakePixels({ label: 3, seed, steps: 4 })], `${model}, seed ${seed}`);
    }
  }
});

Deno.test("background jobs do not hold their model for another that would not fit beside what requests use", async () => {
  const { run, engines: { a, b }, clock, resident } = await bench(2, { a: 1, b: 1, large: 2 });
  await run("a", { steps: 1000 });
  const large = await run("large", { background: true });
  const outcomes = [];
  for (let minute = 0; minute < 5; minute++) {
    outcomes.push(await run("b", { seed: minute, background: true }));
    clock.advance(60_000);
    b!.tick(2);
    await settle();
  }
  assert.ok(outcomes.every(({ result }) => result));
  assert.deepEqual([resident(), large.result, a!.batch.length], [["a", "b"], undefined, 1]);
});

Deno.test("what fits is loaded before it is asked for, and nothing leaves for it", async () => {
  const { engines: { a, b, c, d }, resident, told } = await bench(4, { a: 2, b: 1, c: 2, d: 1 }, {
    cold: true,
  });
  a!.up(); // as after its start
  for (let i = 0; i < 3; i++) await settle();
  assert.deepEqual([resident(), told], [["a", "b", "d"], ["+b", "+d"]]);
  assert.deepEqual([b, c, d].map((engine) => engine!.loads), [1, 0, 1]);
});

Deno.test("the queue and a client's work are limited over all models together", async () => {
  const { run, engines: { a, b } } = await bench(2, { a: 1, b: 1 });
  for (let i = 0; i < 2; i++) await run("a", { client: `${i}`, steps: 9 });
  for (let i = 0; i < 2; i++) await run("b", { client: `${i}`, steps: 9 });
  assert.deepEqual([a!.batch.length, b!.batch.length], [2, 2]);
  for (let i = 0; i < 4; i++) await run("a", { client: `w${i}` });
  for (let i = 4; i < 8; i++) await run("b", { client: `w${i}` });
  assertRefused(await run("b", { client: "last" }), 503, "queue_full", /at most 8 waiting requests/);
});

Deno.test("clients get equal rows over all models, and time by clients", async () => {
  const { run, engines: { a, b } } = await bench(2, { a: 1, b: 1 }, { rows: 8 });
  const rows = (engine: FakeEngine) => engine.batch.map(({ seed }) => Math.floor(seed / 100));
  await run("a", { client: "x", count: 8, seed: 0, steps: 50 });
  await run("b", { client: "x", count: 8, seed: 0, steps: 50 });
  assert.deepEqual([a!.shares.at(-1), b!.shares.at(-1)], [0.5, 0.5]);
  // With eight rows in b, x has its share.
  await run("a", { client: "y", count: 8, seed: 100, steps: 50 });
  const counts = () => [rows(a!), rows(b!)].map((of) => of.filter((client) => client === 0).length);
  assert.deepEqual(counts(), [0, 8]);
  assert.deepEqual([a!.shares.at(-1), b!.shares.at(-1)], [1, 1]);
  await run("b", { client: "z", count: 8, seed: 200, steps: 50 });
  for (let i = 0; i < 4; i++) {
    a!.tick();
    b!.tick();
  }
  const [inA, inB] = counts();
  assert.ok(inA! + inB! >= 5 && inA! + inB! <= 6, `x has ${inA} and ${inB} rows of 16 for three clients`);
});
