import assert from "node:assert/strict";
import { DenoiseError } from "../../../lib/errors.ts";
import { fileURLToPath } from "node:url";
import { listen as listenWith, starting } from "../../../server/http/listen.ts";
import { JsonLog } from "../../../server/log.ts";
import { soon, watch } from "../../support/server/process.ts";

const local = { host: "127.0.0.1", port: 0 };
const listen = (settings: Parameters<typeof listenWith>[0]) => listenWith(settings, new JsonLog(() => {}));

/** Sends text as it is, and reads the head of the answer. */
async function talk(connection: Deno.Conn, text: string): Promise<string> {
  await connection.write(new TextEncoder().encode(text));
  const buffer = new Uint8Array(4096);
  const length = await connection.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, length ?? 0));
}

Deno.test("until there is a model it lives, is not ready and says when to come again; then the handler answers", async () => {
  const { server, use } = listen(local);
  const url = `http://127.0.0.1:${server.addr.port}`;
  assert.deepEqual(await (await fetch(`${url}/healthz`)).json(), { status: "ok" });
  for (const path of ["/readyz", "/generate?class=cat", "/"]) {
    const answer = await fetch(url + path);
    assert.equal(answer.status, 503);
    assert.equal(answer.headers.get("Content-Type"), "application/problem+json");
    assert.equal(answer.headers.get("Retry-After"), "5");
    assert.match((await answer.json()).detail, /is loading/);
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

Deno.test("of several ports the first that is free is taken; where none is, all are named", async () => {
  const taken = listen(local).server;
  const busy = taken.addr.port;
  const free = listen({ ...local, freePorts: [busy, 0] });
  assert.notEqual(free.server.addr.port, busy);
  await free.server.shutdown();
  const message = new RegExp(`^127\\.0\\.0\\.1:${busy}, ${busy} \\(chosen at random\\) are in use: `);
  assert.throws(
    () => listen({ ...local, freePorts: [busy, busy] }),
    (error) => error instanceof DenoiseError && message.test(error.message),
  );
  await taken.shutdown();
});

Deno.test("an answer to HEAD tells the length that GET has, or none", async () => {
  const { server, use } = listen(local);
  use(({ url }) =>
    new Response(null, { headers: url.endsWith("/known") ? { "Content-Length": "123" } : {} })
  );
  const head = async (path: string) => {
    using connection = await Deno.connect({ port: server.addr.port });
    return await talk(connection, `HEAD ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  };
  assert.match(await head("/known"), /^HTTP\/1\.1 200 [^]*content-length: 123\r\n/i);
  assert.doesNotMatch(await head("/unknown"), /content-length|transfer-encoding/i);
  await server.shutdown();
});

Deno.test("until there is a model, too, the route is not for the Host header to choose", async () => {
  const { server } = listen(local);
  for (
    const [host, status] of [["evil/healthz?", 400], ["a b", 400], ["example.org:80", 421], [
      "localhost:80",
      503,
    ]] as const
  ) {
    using connection = await Deno.connect({ port: server.addr.port });
    const answer = await talk(connection, `GET /x HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), `${host}: ${answer}`);
  }
  assert.equal(starting(() => undefined)(new Request("http://localhost/healthz")).status, 200);
  await server.shutdown();
});

Deno.test({
  name:
    "a server that runs out of descriptors finishes what it has begun, drops what is silent and takes others",
  ignore: Deno.build.os === "windows",
  async fn() {
    const script = fileURLToPath(new URL("../../support/server/exhausted_server.ts", import.meta.url));
    const args = ["-c", 'ulimit -n 100; exec "$0" run --allow-net "$1"', Deno.execPath(), script];
    const { child, logged, ended } = watch(
      new Deno.Command("sh", { args, stdout: "piped", stderr: "piped" }).spawn(),
    );
    const { port } = await logged("port") as { port: number };
    const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const open: Deno.Conn[] = [];
    const connect = async () => {
      const connection = await Deno.connect({ port }).catch(() => undefined);
      if (connection) open.push(connection);
      return connection;
    };
    try {
      const slow = talk((await connect())!, ask("/slow"));
      await logged("slow");
      const half = (await connect())!;
      await half.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n"));
      for (let i = 0; i < 120 && await connect(); i++);
      await logged("cannot accept connections; listening again shortly");
      await logged("listening again");
      let answer: string | undefined;
      for (let i = 0; i < 500 && answer === undefined; i++) {
        await new Promise((resolve) => setTimeout(resolve, 20)); // it may have run out once more meanwhile
        const next = await connect();
        answer = next && await talk(next, ask("/")).catch(() => undefined) || undefined;
      }
      assert.match(answer ?? "no connection was to be had", /well$/);
      assert.match(await slow, /well$/);
      assert.equal(
        await soon(half.read(new Uint8Array(1)).catch(() => null), "the end of half a request"),
        null,
      );
    } finally {
      for (const connection of open) connection.close();
      child.kill("SIGTERM");
      await ended();
    }
  },
});
