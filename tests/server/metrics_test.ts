import assert from "node:assert/strict";
import { Metrics, version } from "../../server/metrics.ts";
import type { EngineListener } from "../../server/engine/engine.ts";
import { FakeEngine } from "../support/server/fake_engine.ts";
import { type Harness, harness } from "../support/server/harness.ts";

/** The numbers by name and labels, as they stand in the text. */
async function read({ ask }: Harness): Promise<Map<string, number>> {
  return parse(await (await ask("/metrics")).text());
}

function parse(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const [, name, value] = /^(\S+(?:\{.*\})?) (\S+)$/.exec(line)!;
    return [name.replace(/\{model="fake-model"\}$/, ""), Number(value)];
  }));
}

Deno.test("requests are counted by method, route and status, and timed by route", async () => {
  const server = harness();
  for (const path of ["/generate", "/generate", "/generate?seed=x", "/healthz"]) {
    await (await server.ask(path)).body?.cancel();
  }
  const response = await server.ask("/metrics");
  assert.match(response.headers.get("Content-Type")!, /^text\/plain; version=0\.0\.4/);
  const numbers = parse(await response.text());
  const count = (route: string, status: number) =>
    numbers.get(`denoise_requests_total{method="GET",route="${route}",status="${status}"}`);
  assert.deepEqual([count("/generate", 200), count("/generate", 400), count("/healthz", 200)], [2, 1, 1]);
  assert.equal(numbers.get('denoise_request_seconds_count{route="/generate"}'), 3);
  assert.ok(numbers.get('denoise_request_seconds_sum{route="/generate"}')! > 0);
  assert.equal(numbers.get('denoise_errors_total{code="invalid_parameter"}'), 1);
});

Deno.test("values that clients choose make no new series", async () => {
  const server = harness();
  const before = (await read(server)).size;
  await server.ask("/nothing/0");
  await server.ask("/v1/models/0");
  await server.ask("/generate", { method: "BREW" });
  await read(server);
  const some = (await read(server)).size;
  for (let i = 1; i < 30; i++) {
    await server.ask(`/nothing/${i}`);
    await server.ask(`/v1/models/${i}`);
    await server.ask("/generate", { method: `BREW${i}` });
  }
  const numbers = await read(server);
  assert.equal(numbers.size, some);
  assert.ok(some > before);
  assert.equal(numbers.get('denoise_requests_total{method="GET",route="/v1/models/:id",status="404"}'), 30);
  assert.equal(numbers.get('denoise_requests_total{method="other",route="none",status="405"}'), 30);
});

Deno.test("queue and batch are read when they are asked for", async () => {
  const server = harness({ engine: { automatic: undefined, rows: 4 } });
  const requests = Array.from({ length: 5 }, () => server.ask("/generate?class=cat"));
  const busy = await read(server);
  const gauges = ["queue_depth", "requests_running", "batch_images", "batch_rows", "draining"];
  const values = (numbers: Map<string, number>) => gauges.map((name) => numbers.get(`denoise_${name}`));
  assert.deepEqual(values(busy), [3, 2, 2, 4, 0]);
  while (server.engine.batch.length > 0) server.engine.tick();
  for (const response of await Promise.all(requests)) await response.body?.cancel();
  server.context.runner.drain(1);
  assert.deepEqual(values(await read(server)), [0, 0, 0, 0, 1]);
});

Deno.test("turns of the batch count steps, their time, and the rows in use", async () => {
  const metrics = new Metrics();
  const engine = new FakeEngine();
  let heard: Partial<EngineListener> = {};
  engine.listen = (listener) => heard = listener;
  metrics.watchModel(engine);
  heard.onTurn!({ steps: 4, seconds: 2, rows: 3, programRows: 4, images: [1, 2] });
  heard.onTurn!({ steps: 1, seconds: 0.002, rows: 1, programRows: 8, images: [3] });
  heard.onImage!(1, new Uint8Array());
  heard.onFailed!(1, new Error("lost"));
  const numbers = parse(await metrics.text());
  assert.equal(numbers.get("denoise_steps_total"), 5);
  assert.equal(numbers.get("denoise_step_seconds_count"), 5);
  assert.equal(numbers.get("denoise_step_seconds_sum"), 2.002);
  assert.equal(numbers.get('denoise_step_seconds_bucket{le="0.25",model="fake-model"}'), 1);
  assert.equal(numbers.get('denoise_step_seconds_bucket{le="0.5",model="fake-model"}'), 5);
  assert.equal(numbers.get("denoise_batch_occupancy_sum"), 0.875);
  assert.equal(numbers.get('denoise_batch_occupancy_bucket{le="0.125",model="fake-model"}'), 1);
  assert.deepEqual(
    [numbers.get("denoise_images_total"), numbers.get("denoise_images_failed_total")],
    [1, 1],
  );
});

Deno.test("drawing is counted and timed on its way", async () => {
  const server = harness();
  await (await server.ask("/generate?count=3&format=jpeg")).body?.cancel();
  await (await server.ask("/generate/stream?steps=9&every=2")).text();
  const numbers = await read(server);
  assert.equal(numbers.get("denoise_images_total"), 4);
  assert.equal(numbers.get("denoise_queue_seconds_count"), 2);
  assert.equal(numbers.get("denoise_first_preview_seconds_count"), 1);
  assert.equal(numbers.get('denoise_encode_seconds_count{format="jpeg"}'), 1);
  assert.ok(numbers.get('denoise_encode_seconds_count{format="png"}')! >= 2);
});

Deno.test("the engine's state, the model, the adapter and the build are told", async () => {
  const metrics = new Metrics();
  const numbers = async () => parse(await metrics.text());
  assert.equal((await numbers()).get("denoise_engine_up"), 0);
  const engine = new FakeEngine({ name: "cats", resident: false });
  metrics.watchModel(engine);
  metrics.engine("ready");
  engine.up({ id: 'other "model"' });
  const up = await numbers();
  assert.equal(up.get("denoise_engine_up"), 1);
  const models = [...up.keys()].filter((name) => name.startsWith("denoise_model_info"));
  assert.deepEqual(models, [
    String.raw`denoise_model_info{model="cats",id="other \"model\"",adapter="fake adapter"}`,
  ]);
  const onDevice = 'denoise_model_on_device{model="cats"}';
  assert.deepEqual([up.get(onDevice), up.get('denoise_model_loads_total{model="cats",outcome="loaded"}')], [
    1,
    1,
  ]);
  engine.unload();
  metrics.evicted("cats");
  const off = await numbers();
  assert.deepEqual([off.get(onDevice), off.get('denoise_model_evictions_total{model="cats"}')], [0, 1]);
  metrics.engine("down");
  metrics.loadFailed("cats");
  const down = await numbers();
  assert.equal(down.get('denoise_model_loads_total{model="cats",outcome="failed"}'), 1);
  assert.deepEqual([down.get("denoise_engine_up"), down.get("denoise_engine_downs_total")], [0, 1]);
  assert.equal(down.get(`denoise_build_info{version="${version}",deno="${Deno.version.deno}"}`), 1);
  assert.ok(down.get("process_resident_memory_bytes")! > 1e6);
});
