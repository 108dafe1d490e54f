/** `deploy/nginx.conf` in a real nginx, in front of the application on a real socket. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { MAX_BODY } from "../../server/http/body.ts";
import { MAX_HEADERS, MAX_URL } from "../../server/http/security.ts";
import { defaultSettings } from "../../server/settings.ts";
import { DEPLOY, freePorts, NAME, NGINX_TOOLS, type Proxy, withNginx } from "../support/deploy/nginx.ts";
import type { Harness, HarnessOptions } from "../support/server/harness.ts";
import { soon } from "../support/server/process.ts";
import { overSocket } from "../support/server/raw.ts";
import { leaveOut, testsWith } from "../support/tools.ts";
import { until } from "../support/until.ts";

// clients have addresses of their own in 127.0.0.0/8
const test = Deno.build.os === "linux"
  ? testsWith(NGINX_TOOLS)
  : leaveOut<typeof NGINX_TOOLS[number]>("tests of deploy/nginx.conf, which are for Linux");
const config = await Deno.readTextFile(join(DEPLOY, "nginx.conf"));

/** Values of a directive, in the order of the file. */
function valuesOf(directive: string): string[] {
  return [...config.matchAll(new RegExp(`^ *${directive} ([^;]+);`, "gm"))].map(([, value]) => value);
}

/** Seconds of a directive, the same wherever it stands. */
function secondsOf(directive: string): number {
  const [, seconds] = /^(\d+)s$/.exec(new Set(valuesOf(directive)).values().next().value ?? "") ?? [];
  return Number(seconds);
}

/** Settings that the configuration names for the server. */
const SETTINGS = { trustedProxy: ["127.0.0.1"], publicUrl: `https://${NAME}` };
/** An engine whose steps the test triggers. */
const MANUAL = { automatic: undefined };

/** A test with nginx in front of a server on a fake engine, as the configuration wants it started. */
function proxied(
  name: string,
  options: HarnessOptions,
  run: (server: Harness, proxy: Proxy) => Promise<void>,
  changes: Parameters<typeof withNginx>[2] = [],
): void {
  test(name, (tools) =>
    overSocket(
      { ...options, settings: { ...SETTINGS, ...options.settings } },
      (server, port) => withNginx(tools, port, changes, (proxy) => run(server, proxy)),
    ));
}

/** Draws until nothing is left to draw. */
async function drawAll({ engine, context }: Harness, until: Promise<unknown>): Promise<void> {
  let over = false;
  until.finally(() => over = true);
  while (!over || context.runner.state.running > 0) {
    engine.tick();
    await new Promise((resolve) => setTimeout(resolve));
  }
}

Deno.test("the limits of nginx are those of the server", () => {
  const [bodies, uploads] = valuesOf("client_max_body_size");
  assert.equal(bodies, `${MAX_BODY / 1024}k`);
  assert.equal(uploads, `${defaultSettings.maxUpload}m`);
  const [, count, size] = /^(\d+) (\d+)k$/.exec(valuesOf("large_client_header_buffers")[0])!;
  assert.ok(1024 * Number(size) >= MAX_URL && 1024 * Number(size) * Number(count) >= MAX_HEADERS);
  assert.ok(secondsOf("proxy_read_timeout") > defaultSettings.timeout, "the server answers first");
  for (const directive of ["client_header_timeout", "client_body_timeout", "send_timeout"]) {
    assert.ok(secondsOf(directive) > 0, directive);
  }
});

proxied(
  "images come through nginx by HTTP/1.1 and HTTP/2, with the server's headers",
  {},
  async (server, proxy) => {
    const direct = await (await server.ask("/generate?class=cat&seed=3", { headers: { Host: NAME } }))
      .bytes();
    for (const [flag, version] of [["--http1.1", "1.1"], ["--http2", "2"]]) {
      const answer = await proxy.curl([flag, `${proxy.url}/generate?class=cat&seed=3`]);
      assert.deepEqual(
        [answer.status, answer.version, answer.type],
        [200, version, "image/png"],
        answer.text,
      );
      assert.deepEqual(answer.body, direct);
      assert.match(answer.headers, /^x-seed: 3\r$/im);
      assert.match(answer.headers, /^content-security-policy: default-src 'self'/im);
    }
    const page = await proxy.curl([`${proxy.url}/`]);
    assert.deepEqual([page.status, page.type], [200, "text/html; charset=utf-8"]);
    const body = JSON.stringify({ prompt: "a cat", response_format: "url" });
    const { text } = await proxy.curl([
      "-H",
      "Content-Type: application/json",
      "-d",
      body,
      `${proxy.url}/v1/images/generations`,
    ]);
    assert.ok(JSON.parse(text).data[0].url.startsWith(`https://${NAME}/generate?`), text);
  },
);

proxied("plain HTTP leads to HTTPS, and other names get no answer of the server's", {}, async (_, proxy) => {
  const plain = await proxy.curl([`http://${NAME}:${proxy.plainPort}/generate?class=cat`]);
  assert.deepEqual([plain.status, plain.redirect], [308, `https://${NAME}/generate?class=cat`]);
  const other = await proxy.curl(["-H", "Host: evil.example", `${proxy.url}/healthz`]);
  assert.deepEqual([other.status, JSON.parse(other.text).type], [421, "urn:denoise:problem:unknown_host"]);
});

/** Opens a connection by TLS and sends text. */
async function connect({ port, certificate }: Proxy, text: string): Promise<Deno.TlsConn> {
  const plain = await Deno.connect({ hostname: "127.0.0.1", port });
  const connection = await Deno.startTls(plain, { hostname: NAME, caCerts: [certificate] });
  await connection.write(new TextEncoder().encode(text));
  return connection;
}

/** Reads all that comes until the connection is closed. */
async function readToEnd(connection: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(4096);
  let text = "";
  for (;;) {
    const length = await connection.read(buffer).catch(() => null);
    if (length === null) return text;
    text += new TextDecoder().decode(buffer.subarray(0, length));
  }
}

proxied(
  "clients that are slow with headers or body are cut off, and the server hears nothing of them",
  {},
  async (server, proxy) => {
    const headers = "GET /generate HTTP/1.1\r\nHost: images.example.org\r\nX-Slow: ";
    const body = "POST /v1/images/generations HTTP/1.1\r\nHost: images.example.org\r\n" +
      "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
    const connections = await Promise.all(
      Array.from({ length: 20 }, (_, i) => connect(proxy, i % 2 === 0 ? headers : body)),
    );
    const start = performance.now();
    // A character now and then does not keep headers alive.
    const dripping = setInterval(() => connections[0].write(new Uint8Array([120])).catch(() => {}), 200);
    const answer = await proxy.curl([`${proxy.url}/generate?steps=2`]);
    assert.equal(answer.status, 200, "others are served meanwhile");
    await soon(Promise.all(connections.map(readToEnd)), "the end of slow connections");
    clearInterval(dripping);
    const seconds = (performance.now() - start) / 1000;
    assert.ok(seconds > 0.5 && seconds < 5, `${seconds} s`);
    for (const connection of connections) connection.close();
    assert.equal(server.log.filter(({ message }) => message === "request").length, 1);
  },
  [["client_header_timeout 10s", "client_header_timeout 1s"], [
    "client_body_timeout 10s",
    "client_body_timeout 1s",
  ]],
);

proxied("event streams arrive event by event", { engine: MANUAL }, async (server, proxy) => {
  for (
    const [path, body] of [
      ["/generate/stream?steps=4&every=1&seed=3", ""],
      ["/v1/images/generations", '{"prompt":"cat","stream":true,"partial_images":3,"steps":4}'],
    ]
  ) {
    const request = body === ""
      ? `GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`
      : `POST ${path} HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`;
    const connection = await connect(proxy, request);
    const buffer = new Uint8Array(65_536);
    let received = "";
    /** Reads until as many events have arrived. */
    const events = async (count: number) => {
      while (received.split(/^event: /m).length - 1 < count) {
        const length = await soon(connection.read(buffer), `${count} events in ${received.slice(-300)}`);
        assert.ok(length !== null, received);
        received += new TextDecoder().decode(buffer.subarray(0, length));
      }
    };
    await until("one image in the batch", () => server.engine.batch.length === 1);
    const first = body === "" ? 1 : 0; // the event `started`
    await events(first);
    for (let step = 1; step <= 3; step++) {
      server.engine.tick();
      await events(first + step); // while no further step is drawn
    }
    server.engine.tick();
    received += await soon(readToEnd(connection), "the end of the stream");
    assert.match(received, /^event: (done|image_generation\.completed)$/m);
    connection.close();
  }
});

/** Folder of a database; SQLite's name for one in memory would be a file in the current directory. */
const JOBS = Deno.makeTempDirSync();
addEventListener("unload", () => Deno.removeSync(JOBS, { recursive: true }));

proxied(
  "bodies beyond the limits are answered with 413",
  { settings: { jobs: join(JOBS, "jobs.db") } },
  async (server, proxy) => {
    const send = (path: string, bytes: number, type: string) =>
      Deno.makeTempFile().then(async (file) => {
        await Deno.writeFile(file, new Uint8Array(bytes).fill(0x20));
        const args = ["-H", `Content-Type: ${type}`, "--data-binary", `@${file}`, proxy.url + path];
        return await proxy.curl(args).finally(() => Deno.remove(file));
      });
    const most = defaultSettings.maxUpload * 2 ** 20;
    for (
      const [path, bytes, type] of [
        ["/v1/images/generations", MAX_BODY, "application/json"],
        ["/v1/images/edits", most, "multipart/form-data; boundary=x"],
        ["/jobs", most, "multipart/form-data; boundary=x"],
      ] as const
    ) {
      const { status, text } = await send(path, bytes, type);
      assert.equal(status, 400, `${path} takes ${bytes} bytes: ${text}`);
      const asked = server.log.length;
      const refused = await send(path, bytes + 1, type);
      assert.deepEqual([refused.status, refused.type], [413, "application/problem+json"]);
      assert.equal(JSON.parse(refused.text).type, "urn:denoise:problem:body_too_large");
      assert.equal(server.log.length, asked, "the server hears nothing of it");
    }
    server.jobs!.close();
  },
);

proxied(
  "clients have limits of their own, whatever X-Forwarded-For they send",
  { settings: { maxWork: 100 }, engine: MANUAL },
  async (server, proxy) => {
    const draw = (from: string, ...args: string[]) =>
      proxy.curl([...args, `${proxy.url}/generate?steps=60&guidance=1`], from);
    const first = draw("127.0.0.2");
    await until("one image in the batch", () => server.engine.batch.length === 1);
    const again = await draw("127.0.0.2");
    assert.deepEqual([again.status, again.type], [429, "application/problem+json"], again.text);
    const forged = await draw("127.0.0.2", "-H", "X-Forwarded-For: 127.0.0.9");
    assert.equal(forged.status, 429);
    const other = draw("127.0.0.3");
    await until("two images in the batch", () => server.engine.batch.length === 2);
    await drawAll(server, Promise.all([first, other]));
    assert.deepEqual([(await first).status, (await other).status], [200, 200]);
    const clients = server.log.filter(({ message }) => message === "request").map(({ client }) => client);
    assert.deepEqual(clients.sort(), ["127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.3"]);
  },
);

proxied(
  "connections of a client are limited, and those of others are not",
  { engine: MANUAL, settings: { queue: 1000 } },
  async (server, proxy) => {
    const most = Number(valuesOf("limit_conn denoise_client")[0]);
    const request =
      `GET /generate/stream?steps=4&count=1 HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`;
    const connections = await Promise.all(Array.from({ length: most }, () => connect(proxy, request)));
    await until(
      "all requests there",
      () => server.context.runner.state.running + server.context.runner.state.waiting === most,
    );
    const refused = await proxy.curl([`${proxy.url}/healthz`]);
    assert.deepEqual([refused.status, refused.type], [429, "application/problem+json"]);
    assert.match(refused.headers, /^retry-after: 1\r$/im);
    assert.equal((await proxy.curl([`${proxy.url}/healthz`], "127.0.0.2")).status, 200);
    for (const connection of connections) connection.close();
    await until(
      "all requests over",
      () => server.context.runner.state.running + server.context.runner.state.waiting === 0,
    );
    assert.equal((await proxy.curl([`${proxy.url}/healthz`])).status, 200);
  },
);

proxied("metrics and administration are for this machine", {}, async (_, proxy) => {
  const ask = (path: string, from: string) =>
    proxy.curl([...path === "/metrics" ? [] : ["-X", "POST"], proxy.url + path], from);
  assert.equal((await ask("/metrics", "127.0.0.1")).status, 200);
  assert.match((await ask("/admin/reload", "127.0.0.1")).text, /urn:denoise:problem/, "the server answers");
  for (const path of ["/metrics", "/admin/reload"]) {
    const { status, type, text } = await ask(path, "127.0.0.2");
    assert.deepEqual([status, type], [403, "application/problem+json"], path);
    assert.equal(JSON.parse(text).status, 403);
  }
});

test("where the server is not running, the answer says so and when to try again", async (tools) => {
  await withNginx(tools, freePorts(1)[0], [], async (proxy) => {
    const answer = await proxy.curl([`${proxy.url}/healthz`]);
    assert.deepEqual([answer.status, answer.type], [503, "application/problem+json"]);
    assert.equal(JSON.parse(answer.text).type, "urn:denoise:problem:unavailable");
    assert.match(answer.headers, /^retry-after: 5\r$/im);
  });
});

proxied(
  "an answer that does not come is 504, in the server's form",
  { engine: MANUAL },
  async ({ engine }, proxy) => {
    const { status, type, text } = await proxy.curl([`${proxy.url}/generate?class=cat`]);
    assert.deepEqual([status, type], [504, "application/problem+json"]);
    assert.equal(JSON.parse(text).type, "urn:denoise:problem:timeout");
    await until("nobody waits for the image any more", () => {
      engine.tick();
      return engine.batch.length === 0;
    });
  },
  [["proxy_read_timeout 150s;", "proxy_read_timeout 1s;"]],
);
