import assert from "node:assert/strict";
import { CheckpointError, ConfigError } from "../../../lib/errors.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import { GpuEngine } from "../../../server/engine/gpu_engine.ts";
import { errorRecord, modelRecord } from "../../../server/engine/protocol.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { fakeModel } from "../../support/server/fake_engine.ts";
import {
  FakeGpuWorker,
  imageJob,
  pictureReport,
  START_COMMAND,
  startEngine,
  turnReport,
} from "../../support/server/fake_gpu_worker.ts";

Deno.test("the model comes across with its schedule", async () => {
  const { engine } = await startEngine();
  const expected = fakeModel();
  assert.deepEqual(engine.model, expected);
  assert.ok(engine.model!.schedule instanceof NoiseSchedule);
  assert.deepEqual(engine.model!.schedule, expected.schedule);
  assert.equal(engine.rows, 6);
});

Deno.test("a turn is told in order, then the worker may proceed, knowing what follows from it", async () => {
  const { engine, workers: [worker], heard } = await startEngine();
  engine.listen({
    onImage: (id) => engine.add(imageJob(10 + id)),
    onFrame: (id) => id === 3 && engine.remove(3),
  });
  for (const id of [1, 2, 3, 4]) engine.add(imageJob(id));
  assert.deepEqual(
    worker.take(),
    [1, 2, 3, 4].map((id) => ({ type: "add", model: "one", image: imageJob(id) })),
  );
  worker.report(turnReport({
    frames: [pictureReport(3, 1), pictureReport(2, 1)],
    images: [pictureReport(1, 4)],
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
    { type: "add", model: "one", image: imageJob(11) },
    { type: "proceed" },
  ]);
});

Deno.test("nothing is told of an image after it was removed, has ended or failed", async () => {
  const { engine, workers: [worker], heard } = await startEngine();
  for (const id of [1, 2, 3]) engine.add(imageJob(id));
  engine.remove(1);
  engine.remove(1);
  engine.remove(99);
  assert.equal(worker.take().filter(({ type }) => type === "remove").length, 1);
  worker.report({ type: "failed", id: 2, error: errorRecord(new Error("no room")) });
  worker.report(turnReport({ images: [pictureReport(3, 4)] }));
  heard.length = 0;
  const error = errorRecord(new Error("late"));
  for (const id of [1, 2, 3]) {
    worker.report({ type: "failed", id, error });
    worker.report(
      turnReport({ frames: [pictureReport(id, 1)], images: [pictureReport(id, 4)], failed: [{ id, error }] }),
    );
  }
  assert.deepEqual(heard.filter(([type]) => !String(type).startsWith("turn")), []);
});

Deno.test("a parked image is told of until it ends: the turn under way counts for it", async () => {
  const { engine, workers: [worker], heard } = await startEngine();
  for (const id of [1, 2, 3]) engine.add(imageJob(id));
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
    turnReport({
      frames: [pictureReport(1, 1)],
      images: [pictureReport(1, 4), pictureReport(2, 4), pictureReport(3, 4)],
    }),
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

Deno.test("a reload: images added before it is known are for the old model, those added after for the new", async () => {
  const { engine, workers: [worker], heard } = await startEngine();
  const old = engine.model;
  const reloading = engine.reload("/models/two");
  assert.deepEqual(worker.take(), [{
    type: "load",
    request: 1,
    model: { name: "one", path: "/models/two" },
  }]);
  assert.equal(engine.model, old);
  engine.add(imageJob(1));
  engine.listen({ onUp: () => engine.add(imageJob(2)) });
  worker.report({
    type: "loaded",
    request: 1,
    bytes: 100,
    model: modelRecord(fakeModel({ path: "/models/two" })),
  });
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
  assert.deepEqual(worker.take(), [{
    type: "load",
    request: 2,
    model: { name: "one", path: "/models/two" },
  }]);
});

Deno.test("a worker is told of variant, guide, precision and tuning, each that is started anew, too, and tells how far it is", async () => {
  const workers: FakeGpuWorker[] = [];
  const clock = new FakeClock();
  const told: unknown[] = [];
  const starting = GpuEngine.start({
    models: [{ name: "one", path: "/models/one", guide: "/models/weak" }],
    ...{ variant: "fp16", rows: 6, memory: 2 ** 20 },
    ...{ clock, precision: "mixed", tune: "on" },
    startWorker() {
      workers.push(new FakeGpuWorker());
      return workers[workers.length - 1];
    },
    onTuning: (progress) => told.push(progress),
  });
  const progress = { adapter: "toy", done: 3, total: 14 };
  workers[0].report({ type: "tuning", progress });
  workers[0].ready();
  const device = await starting;
  assert.deepEqual(told, [progress]);
  workers[0].crash("gone");
  clock.advance(500);
  for (const worker of workers) {
    const model = { name: "one", path: "/models/one", guide: "/models/weak" };
    const told = { model, variant: "fp16", memory: 2 ** 20, precision: "mixed", tune: "on" };
    assert.deepEqual(worker.take(), [{ ...START_COMMAND, ...told }]);
  }
  assert.equal(workers.length, 2);
  await device.close();
});

Deno.test("a reload that fails leaves the old model, and the old path for a new start", async () => {
  const { engine, workers, clock, heard } = await startEngine();
  const old = engine.model;
  const reloading = engine.reload("/models/broken");
  const error = errorRecord(new CheckpointError("/models/broken: truncated"));
  workers[0].report({ type: "loadFailed", request: 1, error });
  await assert.rejects(reloading, CheckpointError);
  assert.equal(engine.model, old);
  assert.deepEqual(heard, []);
  workers[0].crash("gone");
  clock.advance(500);
  assert.deepEqual(workers[1].take(), [START_COMMAND]);
});

Deno.test("a model that was replaced while off the device takes as much as before only if it is of the same size", async () => {
  const { engine, workers: [worker] } = await startEngine();
  for (const [preset, bytes] of [["tiny", 100], ["small", undefined]] as const) {
    engine.unload();
    const reloading = engine.reload("/models/two");
    const { request } = worker.take().at(-1) as { request: number };
    const model = modelRecord(fakeModel({ digest: preset, config: presetConfig(preset, 10) }));
    worker.report({ type: "described", request, model });
    await reloading;
    assert.equal(engine.bytes, bytes, preset);
  }
});

Deno.test("answers to several reloads find who asked", async () => {
  const { engine, workers: [worker] } = await startEngine();
  const reloads = ["a", "b", "c"].map((name) => engine.reload(name));
  const model = (path: string) => modelRecord(fakeModel({ path }));
  worker.report({ type: "loaded", request: 2, bytes: 1, model: model("b") });
  worker.report({ type: "loadFailed", request: 1, error: errorRecord(new CheckpointError("a: empty")) });
  worker.report({ type: "loaded", request: 3, bytes: 1, model: model("c") });
  const ends = await Promise.allSettled(reloads);
  assert.deepEqual(ends.map((end) => end.status === "fulfilled" ? end.value.path : end.reason.message), [
    "a: empty",
    "b",
    "c",
  ]);
});

Deno.test("warnings are passed on", async () => {
  const { workers: [worker], warnings } = await startEngine();
  worker.report({ type: "warning", message: "took an older checkpoint" });
  assert.deepEqual(warnings, ["took an older checkpoint"]);
});
