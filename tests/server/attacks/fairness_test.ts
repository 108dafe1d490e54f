/** Attacks on the queue of a real server, bounded in number and time. */
import assert from "node:assert/strict";
import { askUntil, metric, type Running, soon, withServer } from "../../support/server/process.ts";

/** Takes the header's word for who asks, so that one machine can be many clients. */
const settings = { trustedProxy: ["127.0.0.1"], timeout: 86_400, maxWork: 1e9 } as const;

function ask({ url }: Running, path: string, client: number, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}${path}`, { headers: { "X-Forwarded-For": `192.0.2.${client}` }, signal });
}

/** Work for minutes, of one client and more than the batch holds. */
const LONG = "/generate?class=0&sampler=ddim&steps=1000&count=64";

async function idle({ url }: Running): Promise<void> {
  await askUntil(`${url}/metrics`, (_, text) => metric(text, "requests_running") === 0);
  const text = await (await fetch(`${url}/metrics`)).text();
  for (const name of ["queue_depth", "batch_images", "batch_rows", "parked_images"]) {
    assert.equal(metric(text, name), 0, name);
  }
}

Deno.test("a request that would hold the batch for minutes starves nobody", () =>
  withServer({ ...settings, maxBatch: 8 }, async (server) => {
    const seed = "/generate?class=1&steps=20&seed=5";
    const alone = await (await ask(server, seed, 1)).bytes();
    const controller = new AbortController();
    let ended = false;
    const long = ask(server, LONG, 2, controller.signal).catch(() => {}).finally(() => ended = true);
    await askUntil(`${server.url}/metrics`, (_, text) => metric(text, "batch_rows") === 8);
    for (let round = 0; round < 3; round++) {
      const answers = await soon(
        Promise.all([1, 3, 4, 5, 6].map((client) => ask(server, seed, client))),
        "short requests",
      );
      for (const answer of answers) assert.deepEqual(await answer.bytes(), alone);
    }
    // Its own are no worse off.
    assert.deepEqual(await (await soon(ask(server, seed, 2), "its own short request")).bytes(), alone);
    assert.equal(ended, false);
    controller.abort();
    await long;
    await idle(server);
  }));

Deno.test("of many at once, exactly those beyond the queue are refused, and told when to come again", () =>
  withServer({ ...settings, maxBatch: 2, queue: 3 }, async (server) => {
    const controller = new AbortController();
    let refused = 0;
    const done = Promise.withResolvers<void>();
    const asked = Array.from({ length: 20 }, async (_, i) => {
      try {
        const answer = await ask(server, LONG, i, controller.signal);
        const { type, retryAfter } = await answer.json();
        assert.deepEqual([answer.status, type], [503, "urn:denoise:problem:queue_full"]);
        assert.equal(Number(answer.headers.get("Retry-After")), retryAfter);
        assert.ok(retryAfter >= 1);
        if (++refused === 16) done.resolve();
      } catch (error) {
        if (!controller.signal.aborted) done.reject(error);
      }
    });
    await soon(done.promise, "sixteen refusals");
    const text = await (await fetch(`${server.url}/metrics`)).text();
    const accepted = metric(text, "requests_running") + metric(text, "queue_depth");
    assert.deepEqual([refused, accepted], [16, 4], "one is drawn, three wait or are parked");
    controller.abort();
    await Promise.all(asked);
    await idle(server);
  }));

Deno.test("after a storm of 200 clients that leave, the next one is answered", () =>
  withServer({ ...settings, queue: 300 }, async (server) => {
    const storm = Array.from({ length: 200 }, async (_, i) => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 5 * (i % 40));
      await ask(server, LONG, i % 250, controller.signal).then((answer) => answer.body?.cancel(), () => {});
    });
    await Promise.all(storm);
    const answer = await soon(ask(server, "/generate?class=1&steps=2", 251), "an answer");
    assert.equal(answer.status, 200);
    assert.ok((await answer.bytes()).length > 0);
    await idle(server);
  }));

Deno.test("a request that can never be drawn in time is refused at the door, with the most that can", () =>
  withServer({ ...settings, timeout: 0.5, maxSteps: 900 }, async (server) => {
    const answer = await ask(server, "/generate?class=0&steps=900&count=64", 1);
    const { detail, errors: [{ field, value }] } = await answer.json();
    assert.deepEqual([answer.status, field, value], [400, "steps", "900 steps x 64 images"]);
    assert.match(
      detail,
      /^steps: expected at most \d+ steps x 64 images.*: what this server can draw in 0.5 seconds/,
    );
    const beyond = await ask(server, "/generate?class=0&steps=901", 1);
    assert.equal(beyond.status, 400);
    assert.match((await beyond.json()).detail, /^steps: expected a whole number from 1 to 900, got "901"$/);
  }));
