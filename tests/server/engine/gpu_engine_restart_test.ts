/** Workers that fail or hang, and their successors. */
import assert from "node:assert/strict";
import { CheckpointError, ConfigError, DeviceError } from "../../../lib/errors.ts";
import { GpuEngine } from "../../../server/engine/gpu_engine.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import {
  FakeGpuWorker,
  imageJob,
  pictureReport,
  startEngine,
  turnReport,
} from "../../support/server/fake_gpu_worker.ts";

Deno.test("a first start that fails rejects with the worker's error, and nothing starts again", async () => {
  const faults: [(worker: FakeGpuWorker) => void, abstract new (...args: never) => Error, RegExp][] = [
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
    const [clock, worker] = [new FakeClock(), new FakeGpuWorker()];
    const starting = GpuEngine.start({
      models: [{ name: "one", path: "/models/one" }],
      rows: 1,
      clock,
      startWorker: () => worker,
    });
    fault(worker);
    await assert.rejects(starting, (error: Error) => {
      assert.match(error.message, message);
      return error instanceof type;
    });
    assert.ok(worker.terminated);
    assert.equal(clock.pending, 0);
  }
});

Deno.test("a worker with nothing but parked images is not waited for", async () => {
  const { device, engine, workers, clock } = await startEngine();
  engine.add(imageJob(1));
  engine.park(1);
  clock.advance(1e6);
  assert.equal(workers[0].terminated, false);
  engine.resume(1);
  clock.advance(60_000);
  assert.equal(workers[0].terminated, true, "it has taken no step");
  await device.close();
});

const ends: [string, (worker: FakeGpuWorker) => unknown, string][] = [
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
    const { engine, workers, clock, heard } = await startEngine();
    engine.add(imageJob(1));
    engine.add(imageJob(2));
    const reloading = engine.reload("/models/two");
    end(workers[0]);
    assert.ok(workers[0].terminated);
    assert.deepEqual(heard, [["down", message, 1]]);
    assert.equal(engine.model, undefined);
    assert.throws(() => engine.add(imageJob(3)), DeviceError);
    await assert.rejects(reloading, { message: message.replace(/^\w+: /, "") });
    await assert.rejects(engine.reload(), /the GPU worker is down/);
    engine.remove(1);
    // Later reports of the old worker are ignored.
    workers[0].fatal(new Error("again"));
    workers[0].report(turnReport({ images: [pictureReport(1, 4)] }));
    assert.equal(heard.length, 1);
    clock.advance(499);
    assert.equal(workers.length, 1);
    clock.advance(1);
    workers[1].ready();
    assert.deepEqual(heard[1], ["up", "/models/fake-model"]);
    assert.ok(engine.model);
    engine.add(imageJob(3));
    assert.deepEqual(workers[1].take().at(-1), { type: "add", model: "one", image: imageJob(3) });
    engine.remove(2);
    assert.deepEqual(workers[1].take(), []);
  });
}

Deno.test("pauses between starts double up to half a minute, and begin anew after a minute of health", async () => {
  const { device, workers, clock, heard } = await startEngine();
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
  await device.close();
});

Deno.test("closing ends the worker at once, and no other is started", async () => {
  const { device, engine, workers, clock, heard } = await startEngine();
  engine.add(imageJob(1));
  const reloading = engine.reload();
  await device.close();
  assert.ok(workers[0].terminated);
  await assert.rejects(reloading, /closed/);
  assert.deepEqual([engine.model, heard, clock.pending], [undefined, [], 0]);

  const down = await startEngine();
  down.workers[0].crash("gone");
  await down.device.close();
  assert.equal(down.clock.pending, 0);
  await device.close();
});

Deno.test("a listener may close the engine from within", async () => {
  const { device, engine, workers: [worker] } = await startEngine();
  engine.listen({ onImage: () => void device.close() });
  engine.add(imageJob(1));
  worker.report(turnReport({ images: [pictureReport(1, 4)] }));
  assert.ok(worker.terminated);
});

Deno.test("a worker that takes no step while there are images is as good as crashed, and one that does is not", async () => {
  const { device, engine, workers, clock, heard } = await startEngine();
  clock.advance(3_600_000); // with nothing to do
  engine.add(imageJob(1));
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
  await device.close();
  assert.equal(clock.pending, 0);
});

Deno.test("where turns are long, more time is given for one", async () => {
  const { device, engine, workers: [worker], clock } = await startEngine();
  engine.add(imageJob(1));
  worker.report(turnReport({ turn: { steps: 1, seconds: 9, rows: 1, programRows: 1, images: [1] } }));
  worker.report(turnReport());
  clock.advance(179_999);
  assert.ok(engine.model);
  clock.advance(1);
  assert.equal(engine.model, undefined);
  await device.close();
});

Deno.test("images that are given up one after the other, because none gets on, do not hide a worker that hangs", async () => {
  const { device, engine, workers: [worker], clock } = await startEngine();
  for (let id = 1; id <= 6; id++) {
    engine.add(imageJob(id));
    clock.advance(9999);
    engine.remove(id);
    clock.advance(500_000); // between two of them nothing is to be done
    assert.ok(engine.model);
  }
  engine.add(imageJob(7));
  clock.advance(6);
  assert.equal(engine.model, undefined);
  assert.ok(worker.terminated);
  await device.close();
});

Deno.test("a start and a reload may take ten minutes, and no longer", async () => {
  const [clock, worker] = [new FakeClock(), new FakeGpuWorker()];
  const starting = GpuEngine.start({
    models: [{ name: "one", path: "/models/one" }],
    rows: 1,
    clock,
    startWorker: () => worker,
  });
  clock.advance(599_999);
  assert.ok(!worker.terminated);
  clock.advance(1);
  await assert.rejects(starting, { name: "DeviceError", message: /has not loaded the model for 600 s/ });
  assert.deepEqual([worker.terminated, clock.pending], [true, 0]);

  const bench = await startEngine();
  const reloading = bench.engine.reload("/models/two");
  bench.engine.add(imageJob(1)); // which waits while kernels are compiled
  bench.clock.advance(599_999);
  assert.ok(bench.engine.model);
  bench.clock.advance(1);
  await assert.rejects(reloading, /has not loaded the model/);
  assert.deepEqual(bench.heard.at(-1)?.[0], "down");
  await bench.device.close();
});
