import assert from "node:assert/strict";
import http2 from "node:http2";
import { listen } from "../../server/http/listen.ts";
import { JsonLog } from "../../server/log.ts";
import { harness, problemOf } from "../support/server/harness.ts";
import { askUntilRefused } from "../support/server/keep_alive.ts";
import { withServer } from "../support/server/process.ts";
import { overSocket } from "../support/server/raw.ts";

Deno.test("while it drains every answer has its client leave the connection, and refusals say when to come again", async () => {
  const { ask, context } = harness();
  const paths = ["/healthz", "/readyz", "/generate", "/generate/stream", "/", "/nothing", "/v1/models"];
  for (const path of paths) {
    const answer = await ask(path);
    assert.equal(answer.headers.get("Connection"), null, path);
    await answer.body?.cancel();
  }
  context.runner.drain(1);
  for (const path of paths) assert.equal((await ask(path)).headers.get("Connection"), "close", path);
  for (const path of ["/readyz", "/generate", "/generate/stream"]) {
    const answer = await ask(path);
    assert.deepEqual([answer.status, answer.headers.get("Retry-After")], [503, "1"], path);
    assert.equal((await problemOf(answer)).type, "urn:denoise:problem:draining");
  }
});

Deno.test("over HTTP/2, which has no such header, draining answers come as well", async () => {
  await overSocket({}, async ({ context }, port) => {
    context.runner.drain(1);
    const session = http2.connect(`http://127.0.0.1:${port}`);
    const { promise, resolve, reject } = Promise.withResolvers<http2.IncomingHttpHeaders>();
    session.request({ ":path": "/generate" }).on("response", resolve).on("error", reject).resume();
    const headers = await promise.finally(() => session.close());
    assert.deepEqual([headers[":status"], headers.connection], [503, undefined]);
  });
});

Deno.test("requests that come while a server ends are answered, on old connections and on new ones", async () => {
  // Without the header clients stay on their connections, with it there are always new ones.
  for (const headers of [{}, { Connection: "close" }] as HeadersInit[]) {
    let asked = 0;
    const busy = Promise.withResolvers<void>();
    const { server, use } = listen({ host: "127.0.0.1", port: 0 }, new JsonLog(() => {}));
    use(() => {
      if (++asked === 200) busy.resolve();
      return new Response("well", { headers });
    });
    const outcome = askUntilRefused(server.addr.port, 20, () => "/");
    await busy.promise;
    await server.shutdown();
    const { answered, closing, lost } = await outcome;
    assert.deepEqual([lost, answered.get(200)], [0, asked]);
    assert.ok(closing >= 20, `${closing} answers had their client leave`);
  }
});

Deno.test("a server that nobody asks ends at once", async () => {
  const { server } = listen({ host: "127.0.0.1", port: 0 }, new JsonLog(() => {}));
  let ended = false;
  server.shutdown().then(() => ended = true);
  // Less than the time that it would hold answers back.
  for (let turn = 0; turn < 20 && !ended; turn++) await new Promise((resolve) => setTimeout(resolve));
  assert.ok(ended);
});

Deno.test("SIGTERM loses no request of clients that keep their connections open", async () => {
  await withServer({}, async ({ url, child, ended, logged }) => {
    const path = (request: number) => request % 3 === 0 ? "/healthz" : `/generate?steps=2&seed=${request}`;
    const outcome = askUntilRefused(Number(new URL(url).port), 20, path);
    await logged("request");
    child.kill("SIGTERM");
    const { answered, closing, lost } = await outcome;
    assert.equal(lost, 0);
    assert.deepEqual([...answered.keys()].filter((status) => status !== 200 && status !== 503), []);
    assert.ok(closing >= 20, `${closing} answers had their client leave`);
    assert.equal((await ended()).code, 0);
  });
});
