import assert from "node:assert/strict";
import { mergeLoads, percentile, runLoad } from "../../bench/serve_load.ts";

/** Runs `body` against a server on loopback. */
async function serving(
  handler: (path: string) => Response | Promise<Response>,
  body: (url: string) => Promise<void>,
): Promise<void> {
  const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
  const server = Deno.serve(options, (request) => handler(new URL(request.url).pathname));
  try {
    await body(`http://127.0.0.1:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

Deno.test("so many clients ask at once, never more, until there is no more to ask; each answer counts", async () => {
  let now = 0;
  let most = 0;
  const asked: string[] = [];
  const full = Promise.withResolvers<void>();
  await serving(async (path) => {
    if (path === "/healthz") return new Response("ok");
    asked.push(path);
    most = Math.max(most, ++now);
    if (now === 3) full.resolve();
    await full.promise;
    now--;
    return new Response("image");
  }, async (url) => {
    const told: number[] = [];
    const { latencies, health, failures, seconds } = await runLoad({
      url,
      clients: 3,
      path: (number) => `/${number}`,
      more: (begun) => begun < 10,
      onAnswer: (answers) => told.push(answers),
      timeout: 10,
    });
    assert.equal(most, 3);
    assert.deepEqual(asked.sort(), Array.from({ length: 10 }, (_, i) => `/${i}`));
    assert.equal(latencies.length, 10);
    assert.deepEqual(told, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert.ok(health.length >= 1 && health.every((value) => value > 0 && value <= seconds));
    assert.ok(Math.max(...latencies) <= seconds);
    assert.deepEqual(failures, {});
  });
});

Deno.test("bad answers, broken connections and answers that do not come are failures by their kind", async () => {
  const { promise: late, resolve: answerLate } = Promise.withResolvers<void>();
  await serving(async (path) => {
    if (path === "/0") return new Response("full", { status: 503 });
    if (path === "/1") return new Response("wrong", { status: 400 });
    if (path === "/2") await late;
    return new Response("ok");
  }, async (url) => {
    const { latencies, failures } = await runLoad({
      url,
      clients: 2,
      path: (number) => `/${number}`,
      more: (begun) => begun < 5,
      timeout: 0.3,
    });
    answerLate();
    assert.equal(latencies.length, 2);
    assert.deepEqual(failures, { "status 503": 1, "status 400": 1, TimeoutError: 1 });
  });
});

Deno.test("time decides when clients stop asking, and the last answers are waited for", async () => {
  await serving(() => new Response("image"), async (url) => {
    const result = await runLoad({
      url,
      clients: 2,
      path: () => "/image",
      more: (begun, seconds) => begun < 2 || seconds < 0.05,
      timeout: 10,
    });
    assert.ok(result.latencies.length >= 2);
    assert.ok(result.seconds >= 0.05);
  });
});

Deno.test("merged loads hold the values of all, failures and seconds add up", () => {
  const one = { latencies: [1, 2], health: [0.1], failures: { "status 503": 2 }, seconds: 3 };
  const two = { latencies: [3], health: [], failures: { "status 503": 1, TimeoutError: 1 }, seconds: 4 };
  assert.deepEqual(mergeLoads([one, two]), {
    latencies: [1, 2, 3],
    health: [0.1],
    failures: { "status 503": 3, TimeoutError: 1 },
    seconds: 7,
  });
});

Deno.test("percentiles are by nearest rank, of values in any order", () => {
  const values = Array.from({ length: 100 }, (_, i) => (i * 37) % 100 + 1);
  assert.deepEqual([0, 0.5, 0.95, 0.99, 1].map((share) => percentile(values, share)), [1, 50, 95, 99, 100]);
  assert.equal(percentile([5, 1, 3], 0.5), 3);
  assert.ok(Number.isNaN(percentile([], 0.5)));
});
