import assert from "node:assert/strict";
import { DenoiseError } from "../../../lib/errors.ts";
import { listen } from "../../../server/http/listen.ts";

const local = { host: "127.0.0.1", port: 0 };

Deno.test("until there is a model it lives, is not ready and says when to come again; then the handler answers", async () => {
  const { server, use } = listen(local);
  const url = `http://127.0.0.1:${server.addr.port}`;
  assert.deepEqual(await (await fetch(`${url}/healthz`)).json(), { status: "ok" });
  for (const path of ["/readyz", "/generate?class=cat", "/"]) {
    const answer = await fetch(url + path);
    assert.equal(answer.status, 503);
    assert.equal(answer.headers.get("Content-Type"), "application/problem+json");
    assert.equal(answer.headers.get("Retry-After"), "5");
    assert.match((await answer.json()).detail, /being loaded/);
  }
  use((request, info) =>
    new Response(`${new URL(request.url).pathname} ${(info.remoteAddr as Deno.NetAddr).hostname}`)
  );
  assert.equal(await (await fetch(`${url}/x`)).text(), "/x 127.0.0.1");
  await server.shutdown();
});

Deno.test("an address that cannot be had is an error that says why and what to do", async () => {
  const { server } = listen(local);
  const { port } = server.addr;
  const message = new RegExp(`^127\\.0\\.0\\.1:${port} is in use: .*--port`);
  assert.throws(
    () => listen({ ...local, port }),
    (error) => error instanceof DenoiseError && message.test(error.message),
  );
  await server.shutdown();
  assert.throws(
    () => listen({ host: "127.0.0.300", port: 0 }),
    (error) => error instanceof DenoiseError && /^cannot listen on 127\.0\.0\.300:0: /.test(error.message),
  );
});
