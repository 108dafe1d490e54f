import assert from "node:assert/strict";
import { CheckpointError, ConfigError, DataError, DeviceError } from "../../../lib/errors.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import type { EngineListener, ImageJob, ServedModel } from "../../../server/engine/engine.ts";
import { GpuEngine, type WorkerLike } from "../../../server/engine/gpu_engine.ts";
import {
  type Command,
  errorFrom,
  errorRecord,
  modelRecord,
  type Report,
} from "../../../server/engine/protocol.ts";
import { Watchdog } from "../../../server/engine/watchdog.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { fakeModel } from "../../support/server/fake_engine.ts";

/** A worker that says what a test wants it to say. Messages are cloned, as they are on their way to a real one. */
class FakeWorker implements WorkerLike {
  readonly commands: Command[] = [];
  terminated = false;
  readonly #listeners = new Map<string, (event: never) => void>();

  postMessage(command: Command): void {
    assert.ok(!this.terminated, "nothing is said to a worker that was ended");
    this.commands.push(structuredClone(command));
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners.set(type, listener);
  }

  terminate(): void {
    this.terminated = true;
  }

  report(report: Report): void {
    this.#dispatch("message", new MessageEvent("message", { data: structuredClone(report) }));
  }

  /** An error that nobody caught in the worker; whether the main thread is spared it. */
  crash(message: string): boolean {
    const event = new ErrorEvent("error", { message, cancelable: true });
    this.#dispatch("error", event);
    return event.defaultPrevented;
  }

  garble(): void {
    this.#dispatch("messageerror", new MessageEvent("messageerror"));
  }

  ready(changes: Partial<ServedModel> = {}): void {
    this.report({ type: "ready", model: modelRecord(fakeModel(changes)) });
  }

  fatal(error: Error): void {
    this.report({ type: "fatal", error: errorRecord(error) });
  }

  /** What was said since the last time. */
  take(): Command[] {
    return this.commands.splice(0);
  }

  #dispatch(type: string, event: Event): void {
    this.#listeners.get(type)?.(event as never);
  }
}

interface Bench {
  readonly engine: GpuEngine;
  readonly clock: FakeClock;
  readonly workers: FakeWorker[];
  /** What the listener heard: event and first argument, for an error its message. */
  readonly heard: unknown[][];
  readonly warnings: string[];
}

async function start(): Promise<Bench> {
  const [clock, workers, warnings, heard]: [FakeClock, FakeWorker[], string[], unknown[][]] = [
    new FakeClock(),
    [],
    [],
    [],
  ];
  const starting = GpuEngine.start({
    path: "/models/one",
    rows: 6,
    clock,
    startWorker() {
      workers.push(new FakeWorker());
      return workers[workers.length - 1];
    },
    onWarning: (message) => warnings.push(message),
  });
  assert.deepEqual(workers[0].take(), [START]);
  workers[0].ready();
  const engine = await starting;
  const listener: EngineListener = {
    onTurn: ({ steps }) => heard.push(["turn", steps]),
    onTurnEnd: () => heard.push(["turn end"]),
    onFrame: (id, step, pixels) => heard.push(["frame", id, step, pixels[0]]),
    onImage: (id, pixels) => heard.push(["image", id, pixels[0]]),
    onFailed: (id, error) => heard.push(["failed", id, `${error}`]),
    onDown: (error, retryAfter) => heard.push(["down", `${error}`, retryAfter]),
    onUp: ({ path }) => heard.push(["up", path]),
  };
  engine.listen(listener);
  return { engine, clock, workers, heard, warnings };
}

function image(id: number): ImageJob {
  return { id, label: 3, seed: id, sampler: "ddim", steps: 5, eta: undefined, guidance: 2 };
}

function turnReport(changes: Partial<Extract<Report, { type: "turn" }>> = {}): Report {
  const turn = { steps: 2, seconds: 0.1, rows: 2, programRows: 2, images: [1] };
  return { type: "turn", turn, frames: [], images: [], failed: [], ...changes };
}

function picture(id: number, step: number): { id: number; step: number; pixels: Uint8Array<ArrayBuffer> } {
  return { id, step, pixels: Uint8Array.of(10 * id + step) };
}

/** What a worker is sent first where nothing else is asked for. */
const START = {
  type: "start",
  path: "/models/one",
  rows: 6,
  defaults: {},
  backend: {},
  precision: undefined,
  tune: "auto",
} as const;

Deno.test("the model comes across with its schedule", async () => {
  const { engine } = await start();
  const expected = fakeModel();
  assert.deepEqual(engine.model, expected);
  assert.ok(engine.model!.schedule instanceof NoiseSchedule);
  assert.deepEqual(engine.model!.schedule.alphasCumprod, expected.schedule.alphasCumprod);
  assert.equal(engine.rows, 6);
});

Deno.test("errors come across with class, message and stack", () => {
  const across = (error: unknown) => errorFrom(structuredClone(errorRecord(error)));
  for (
    const error of [
      new CheckpointError("unet.safetensors: truncated"),
      new DeviceError("no adapter"),
      new DataError("not a PNG"),
    ]
  ) {
    const copy = across(error);
    assert.equal(copy.constructor, error.constructor);
    assert.deepEqual([copy.name, copy.message, copy.stack], [error.name, error.message, error.stack]);
  }
  const config = across(new ConfigError("act_fn", "gelu", '"silu"')) as ConfigError;
  assert.ok(config instanceof ConfigError);
  assert.deepEqual([config.message, config.field, config.value], [
    'act_fn: expected "silu", got "gelu"',
    "act_fn",
    "gelu",
  ]);
  assert.equal((across(new ConfigError("size", [1, 2], "a number")) as ConfigError).value, "[1, 2]");
  const bug = across(new TypeError("x is undefined"));
  assert.deepEqual([bug.name, bug.message, bug.constructor], ["TypeError", "x is undefined", Error]);
  assert.equal(across("a string").message, "a string");
});

Deno.test("a first start that fails rejects with the worker's error, and nothing starts again", async () => {
  const faults: [(worker: FakeWorker) => void, abstract new (...args: never) => Error, RegExp][] = [
    [
      (worker) => worker.fatal(new CheckpointError("/models/one: no model here")),
      CheckpointError,
      /no model here/,
    ],
    [(worker) => worker.fatal(new ConfigError("act_fn", "gelu", "silu")), ConfigError, /^act_fn: expected/],
    [(worker) => void worker.crash("Uncaught TypeError"), DeviceError, /the GPU worker failed: Uncaught/],
    [(worker) => worker.garble(), DeviceError, /unreadable message/],
  ];
  for (const [fault, type, message] of faults) {
    const [clock, worker] = [new FakeClock(), new FakeWorker()];
    const starting = GpuEngine.start({ path: "/models/one", rows: 1, clock, startWorker: () => worker });
    fault(worker);
    await assert.rejects(starting, (error: Error) => {
      assert.match(error.message, message);
      return error instanceof type;
    });
    assert.ok(worker.terminated);
    assert.equal(clock.pending, 0);
  }
});

Deno.test("a turn is told in order, then the worker may proceed, knowing what follows from it", async () => {
  const { engine, workers: [worker], heard } = await start();
  engine.listen({
    onImage: (id) => engine.add(image(10 + id)),
    onFrame: (id) => id === 3 && engine.remove(3),
  });
  for (const id of [1, 2, 3, 4]) engine.add(image(id));
  assert.deepEqual(worker.take(), [1, 2, 3, 4].map((id) => ({ type: "add", image: image(id) })));
  worker.report(turnReport({
    frames: [picture(3, 1), picture(2, 1)],
    images: [picture(1, 4)],
    failed: [{ id: 4, error: errorRecord(new ConfigError("data[0]", NaN, "a finite number")) }],
  }));
  assert.deepEqual(heard, [
    ["turn", 2],
    ["frame", 3, 1, 31],
    ["frame", 2, 1, 21],
    ["image", 1, 14],
    ["failed", 4, "ConfigError: data[0]: expected a finite number, got NaN"],
    ["turn end"],
  ]);
  assert.deepEqual(worker.take(), [
    { type: "remove", id: 3 },
    { type: "add", image: image(11) },
    { type: "proceed" },
  ]);
});

Deno.test("nothing is told of an image after it was removed, has ended or failed", async () => {
  const { engine, workers: [worker], heard } = await start();
  for (const id of [1, 2, 3]) engine.add(image(id));
  engine.remove(1);
  engine.remove(1);
  engine.remove(99);
  assert.equal(worker.take().filter(({ type }) => type === "remove").length, 1);
  worker.report({ type: "failed", id: 2, error: errorRecord(new Error("no room")) });
  worker.report(turnReport({ images: [picture(3, 4)] }));
  heard.length = 0;
  const error = errorRecord(new Error("late"));
  for (const id of [1, 2, 3]) {
    worker.report({ type: "failed", id, error });
    worker.report(
      turnReport({ frames: [picture(id, 1)], images: [picture(id, 4)], failed: [{ id, error }] }),
    );
  }
  assert.deepEqual(heard.filter(([type]) => !String(type).startsWith("turn")), []);
});

Deno.test("a parked image is told of until it ends: the turn under way counts for it", async () => {
  const { engine, workers: [worker], heard } = await start();
  for (const id of [1, 2, 3]) engine.add(image(id));
  worker.take();
  for (const id of [1, 2, 3, 99]) engine.park(id);
  engine.resume(2);
  engine.resume(2);
  engine.remove(3);
  engine.resume(3);
  assert.deepEqual(worker.take().map((command) => `${command.type} ${"id" in command ? command.id : ""}`), [
    ...["park 1", "park 2", "park 3"],
    ...["resume 2", "remove 3"],
  ]);
  worker.report(
    turnReport({ frames: [picture(1, 1)], images: [picture(1, 4), picture(2, 4), picture(3, 4)] }),
  );
  engine.resume(1);
  assert.deepEqual(heard, [
    ["turn", 2],
    ["frame", 1, 1, 11],
    ["image", 1, 14],
    ["image", 2, 24],
    ["turn end"],
  ]);
  assert.deepEqual(worker.take(), [{ type: "proceed" }]);
});

Deno.test("a worker with nothing but parked images is not waited for", async () => {
  const { engine, workers, clock } = await start();
  engine.add(image(1));
  engine.park(1);
  clock.advance(1e6);
  assert.equal(workers[0].terminated, false);
  engine.resume(1);
  clock.advance(60_000);
  assert.equal(workers[0].terminated, true, "it has taken no step");
  await engine.close();
});

Deno.test("a reload: images added before it is known are for the old model, those added after for the new", async () => {
  const { engine, workers: [worker], heard } = await start();
  const old = engine.model;
  const reloading = engine.reload("/models/two");
  assert.deepEqual(worker.take(), [{ type: "load", request: 1, path: "/models/two" }]);
  assert.equal(engine.model, old);
  engine.add(image(1));
  engine.listen({ onUp: () => engine.add(image(2)) });
  worker.report({ type: "loaded", request: 1, model: modelRecord(fakeModel({ path: "/models/two" })) });
  assert.deepEqual(worker.take().map((command) => command.type === "add" ? command.image.id : command.type), [
    1,
    "swap",
    2,
  ]);
  assert.deepEqual(heard, [["up", "/models/two"]]);
  assert.equal((await reloading).path, "/models/two");
  assert.equal(engine.model!.path, "/models/two");
  // Without a path it is the directory served now, also after a new start.
  engine.reload().catch(() => {});
  assert.deepEqual(worker.take(), [{ type: "load", request: 2, path: "/models/two" }]);
});

Deno.test("a worker is told the precision and when to try kernels, each that is started anew, too, and tells how far it is", async () => {
  const workers: FakeWorker[] = [];
  const clock = new FakeClock();
  const told: unknown[] = [];
  const starting = GpuEngine.start({
    ...{ path: "/models/one", rows: 6, clock, precision: "mixed", tune: "on" },
    startWorker() {
      workers.push(new FakeWorker());
      return workers[workers.length - 1];
    },
    onTuning: (progress) => told.push(progress),
  });
  const progress = { adapter: "toy", done: 3, total: 14 };
  workers[0].report({ type: "tuning", progress });
  workers[0].ready();
  const engine = await starting;
  assert.deepEqual(told, [progress]);
  workers[0].crash("gone");
  clock.advance(500);
  for (const worker of workers) {
    assert.deepEqual(worker.take(), [{ ...START, precision: "mixed", tune: "on" }]);
  }
  assert.equal(workers.length, 2);
  await engine.close();
});

Deno.test("a reload that fails leaves the old model, and the old path for a new start", async () => {
  const { engine, workers, clock, heard } = await start();
  const old = engine.model;
  const reloading = engine.reload("/models/broken");
  const error = errorRecord(new CheckpointError("/models/broken: truncated"));
  workers[0].report({ type: "loadFailed", request: 1, error });
  await assert.rejects(reloading, CheckpointError);
  assert.equal(engine.model, old);
  assert.deepEqual(heard, []);
  workers[0].crash("gone");
  clock.advance(500);
  assert.deepEqual(workers[1].take(), [START]);
});

Deno.test("answers to several reloads find who asked", async () => {
  const { engine, workers: [worker] } = await start();
  const reloads = ["a", "b", "c"].map((name) => engine.reload(name));
  const model = (path: string) => modelRecord(fakeModel({ path }));
  worker.report({ type: "loaded", request: 2, model: model("b") });
  worker.report({ type: "loadFailed", request: 1, error: errorRecord(new CheckpointError("a: empty")) });
  worker.report({ type: "loaded", request: 3, model: model("c") });
  const ends = await Promise.allSettled(reloads);
  assert.deepEqual(ends.map((end) => end.status === "fulfilled" ? end.value.path : end.reason.message), [
    "a: empty",
    "b",
    "c",
  ]);
});

const ends: [string, (worker: FakeWorker) => unknown, string][] = [
  ["reports a fault", (worker) => worker.fatal(new DeviceError("it was lost")), "DeviceError: it was lost"],
  [
    "crashes",
    (worker) => assert.ok(worker.crash("Uncaught")),
    "DeviceError: the GPU worker failed: Uncaught",
  ],
  ["is garbled", (worker) => worker.garble(), "DeviceError: the GPU worker sent an unreadable message"],
];
for (const [what, end, message] of ends) {
  Deno.test(`a worker that ${what}: its images are lost, it is started again and serves again`, async () => {
    const { engine, workers, clock, heard } = await start();
    engine.add(image(1));
    engine.add(image(2));
    const reloading = engine.reload("/models/two");
    end(workers[0]);
    assert.ok(workers[0].terminated);
    assert.deepEqual(heard, [["down", message, 1]]);
    assert.equal(engine.model, undefined);
    assert.throws(() => engine.add(image(3)), DeviceError);
    await assert.rejects(reloading, { message: message.replace(/^\w+: /, "") });
    await assert.rejects(engine.reload(), /the GPU worker is down/);
    engine.remove(1);
    // What the old one has still to say is of no account.
    workers[0].fatal(new Error("again"));
    workers[0].report(turnReport({ images: [picture(1, 4)] }));
    assert.equal(heard.length, 1);
    clock.advance(499);
    assert.equal(workers.length, 1);
    clock.advance(1);
    workers[1].ready();
    assert.deepEqual(heard[1], ["up", "/models/fake-model"]);
    assert.ok(engine.model);
    engine.add(image(3));
    assert.deepEqual(workers[1].take().at(-1), { type: "add", image: image(3) });
    engine.remove(2);
    assert.deepEqual(workers[1].take(), []);
  });
}

Deno.test("pauses between starts double up to half a minute, and begin anew after a minute of health", async () => {
  const { engine, workers, clock, heard } = await start();
  const pause = (): number => {
    const started = workers.length;
    let waited = 0;
    while (workers.length === started) {
      clock.advance(100);
      waited += 100;
    }
    return waited;
  };
  const last = () => workers[workers.length - 1];
  const pauses = [];
  clock.advance(59_000);
  for (let i = 0; i < 9; i++) {
    // Some starts succeed, and the worker is soon gone again; others fail.
    if (i === 2 || i === 4) last().ready();
    last().fatal(new DeviceError(`fault ${i}`));
    pauses.push(pause());
  }
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  assert.equal(heard.filter(([type]) => type === "down").length, 9);
  assert.deepEqual(heard.find(([, message]) => message === "DeviceError: fault 3"), [
    "down",
    "DeviceError: fault 3",
    4,
  ]);
  // Starting takes time, too.
  clock.advance(3300);
  last().ready();
  clock.advance(60_000);
  last().fatal(new DeviceError("much later"));
  assert.deepEqual(heard.at(-1), ["down", "DeviceError: much later", 4]);
  assert.equal(pause(), 500);
  await engine.close();
});

Deno.test("closing ends the worker at once, and no other is started", async () => {
  const { engine, workers, clock, heard } = await start();
  engine.add(image(1));
  const reloading = engine.reload();
  await engine.close();
  assert.ok(workers[0].terminated);
  await assert.rejects(reloading, /closed/);
  assert.deepEqual([engine.model, heard, clock.pending], [undefined, [], 0]);

  const down = await start();
  down.workers[0].crash("gone");
  await down.engine.close();
  assert.equal(down.clock.pending, 0);
  await engine.close();
});

Deno.test("a listener may close the engine from within", async () => {
  const { engine, workers: [worker] } = await start();
  engine.listen({ onImage: () => void engine.close() });
  engine.add(image(1));
  worker.report(turnReport({ images: [picture(1, 4)] }));
  assert.ok(worker.terminated);
});

Deno.test("warnings are passed on", async () => {
  const { workers: [worker], warnings } = await start();
  worker.report({ type: "warning", message: "took an older checkpoint" });
  assert.deepEqual(warnings, ["took an older checkpoint"]);
});

Deno.test("a worker that takes no step while there are images is as good as crashed, and one that does is not", async () => {
  const { engine, workers, clock, heard } = await start();
  clock.advance(3_600_000); // with nothing to do
  engine.add(image(1));
  for (let i = 0; i < 5; i++) {
    clock.advance(59_999);
    workers[0].report(turnReport());
  }
  assert.deepEqual(heard.filter(([type]) => type === "down"), []);
  clock.advance(60_000);
  assert.deepEqual(heard.at(-1), ["down", "DeviceError: the GPU worker has taken no step for 60 s", 1]);
  assert.ok(workers[0].terminated);
  clock.advance(500);
  workers[1].ready();
  assert.ok(engine.model);
  await engine.close();
  assert.equal(clock.pending, 0);
});

Deno.test("where turns are long, more time is given for one", async () => {
  const { engine, workers: [worker], clock } = await start();
  engine.add(image(1));
  worker.report(turnReport({ turn: { steps: 1, seconds: 9, rows: 1, programRows: 1, images: [1] } }));
  worker.report(turnReport());
  clock.advance(179_999);
  assert.ok(engine.model);
  clock.advance(1);
  assert.equal(engine.model, undefined);
  await engine.close();
});

Deno.test("images that are given up one after the other, because none gets on, do not hide a worker that hangs", async () => {
  const { engine, workers: [worker], clock } = await start();
  for (let id = 1; id <= 6; id++) {
    engine.add(image(id));
    clock.advance(9999);
    engine.remove(id);
    clock.advance(500_000); // between two of them nothing is to be done
    assert.ok(engine.model);
  }
  engine.add(image(7));
  clock.advance(6);
  assert.equal(engine.model, undefined);
  assert.ok(worker.terminated);
  await engine.close();
});

Deno.test("a start and a reload may take ten minutes, and no longer", async () => {
  const [clock, worker] = [new FakeClock(), new FakeWorker()];
  const starting = GpuEngine.start({ path: "/models/one", rows: 1, clock, startWorker: () => worker });
  clock.advance(599_999);
  assert.ok(!worker.terminated);
  clock.advance(1);
  await assert.rejects(starting, { name: "DeviceError", message: /has not loaded the model for 600 s/ });
  assert.deepEqual([worker.terminated, clock.pending], [true, 0]);

  const bench = await start();
  const reloading = bench.engine.reload("/models/two");
  bench.engine.add(image(1)); // which waits while kernels are compiled
  bench.clock.advance(599_999);
  assert.ok(bench.engine.model);
  bench.clock.advance(1);
  await assert.rejects(reloading, /has not loaded the model/);
  assert.deepEqual(bench.heard.at(-1)?.[0], "down");
  await bench.engine.close();
});

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
