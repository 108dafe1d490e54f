import assert from "node:assert/strict";
import { MAX_BODY, MAX_DEPTH } from "../../../server/http/body.ts";
import { MAX_HEADERS, MAX_URL } from "../../../server/http/security.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { type Harness, harness, problemOf } from "../../support/server/harness.ts";
import { overSocket, talk } from "../../support/server/raw.ts";
import { until } from "../../support/until.ts";

const TOKEN = "correct-horse-battery-staple";
const IMAGES = "/v1/images/generations";

/** Asks with an Authorization header. */
function askWith({ ask }: Harness, path: string, authorization?: string): Promise<Response> {
  return ask(path, { headers: authorization === undefined ? {} : { Authorization: authorization } });
}

Deno.test("a token opens what it should, and nothing else does", async () => {
  const server = harness({ token: TOKEN });
  for (const path of ["/healthz", "/readyz", "/", "/page/page.css", "/openapi.json", "/docs"]) {
    assert.equal((await askWith(server, path)).status, 200, path);
  }
  const closed = ["/generate", "/generate/stream", "/classes", "/models", "/metrics"];
  const wrong = [
    undefined,
    "",
    "Bearer",
    "Bearer ",
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(0, -1)}`,
    `Bearer ${TOKEN.toUpperCase()}`,
    `Basic ${btoa(`:${TOKEN}`)}`,
    TOKEN,
    `Bearer ${TOKEN} ${TOKEN}`,
    "Bearer undefined",
  ];
  for (const path of [...closed, "/v1/models", "/nothing"]) {
    for (const authorization of path === "/generate" ? wrong : [undefined, "Bearer wrong"]) {
      const response = await askWith(server, path, authorization);
      assert.equal(response.status, 401, `${path} ${authorization}`);
      assert.equal(response.headers.get("WWW-Authenticate"), 'Bearer realm="denoise"');
      if (!path.startsWith("/v1")) await problemOf(response);
    }
  }
  for (const path of closed) {
    const response = await askWith(server, path, `bearer  ${TOKEN}`);
    assert.equal(response.status, 200, path);
    await response.body?.cancel();
  }
  assert.equal((await askWith(server, "/nothing", `Bearer ${TOKEN}`)).status, 404);
  assert.equal((await server.ask(`/generate?token=${TOKEN}`)).status, 401);
});

Deno.test("no answer and no line of the log holds the token, right or wrong", async () => {
  const server = harness({ token: TOKEN });
  const answers: Response[] = [];
  for (const token of [TOKEN, "wrong-token-of-someone"]) {
    for (
      const path of ["/generate", "/nothing", `/${token}`, `/generate?token=${token}`, "/metrics", "/docs"]
    ) {
      answers.push(await askWith(server, path, `Bearer ${token}`));
    }
  }
  server.engine.down();
  answers.push(await askWith(server, "/generate", `Bearer ${TOKEN}`));
  const told = await Promise.all(
    answers.map(async (answer) => `${[...answer.headers]} ${await answer.text()}`),
  );
  // Except where it was the name of a parameter, which is not a place for it.
  const all = JSON.stringify([server.log, told.filter((text) => !text.includes('"field":"token"'))]);
  assert.ok(server.log.length >= 13);
  for (const token of [TOKEN, "wrong-token-of-someone"]) assert.ok(!all.includes(token));
  assert.ok(!JSON.stringify(server.log).includes(TOKEN));
});

Deno.test("every answer carries the headers that bind browsers", async () => {
  const server = harness({ token: TOKEN });
  for (const path of ["/", "/healthz", "/nothing", "/generate"]) {
    const { headers } = await askWith(server, path);
    const policy = headers.get("Content-Security-Policy")!;
    assert.ok(policy.includes("default-src 'self';") && policy.includes("frame-ancestors 'none'"), path);
    assert.ok(policy.includes("img-src 'self' data: blob:") && !policy.includes("unsafe"), path);
    assert.equal(headers.get("X-Content-Type-Options"), "nosniff");
    assert.equal(headers.get("Referrer-Policy"), "no-referrer");
    assert.equal(headers.get("Cross-Origin-Opener-Policy"), "same-origin");
    assert.equal(headers.get("Cross-Origin-Resource-Policy"), "same-origin");
  }
});

Deno.test("addresses and headers have a longest length", async () => {
  const { ask } = harness();
  const base = "http://localhost/generate?class=";
  assert.equal((await ask(base + "x".repeat(MAX_URL - base.length))).status, 400);
  const long = await ask(base + "x".repeat(MAX_URL - base.length + 1));
  assert.equal(long.status, 414);
  await problemOf(long);

  const name = "X-Long";
  assert.equal(
    (await ask("/healthz", { headers: { [name]: "x".repeat(MAX_HEADERS - name.length) } })).status,
    200,
  );
  const large = await ask("/healthz", { headers: { [name]: "x".repeat(MAX_HEADERS - name.length + 1) } });
  assert.equal(large.status, 431);
  await problemOf(large);
});

/** Posts a body to the admin's route: what is told there of bodies holds everywhere. */
function post(
  { ask }: Harness,
  body: BodyInit | null,
  headers: HeadersInit = {},
  path: string = IMAGES,
): Promise<Response> {
  return ask(path, { method: "POST", body, headers: { "Content-Type": "application/json", ...headers } });
}

Deno.test("a body that is too long is refused, with and without its length", async () => {
  const server = harness();
  const long = "x".repeat(MAX_BODY + 1);
  const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(10_000)) });
  for (const path of [IMAGES, "/admin/reload", "/nothing"]) {
    assert.equal((await post(server, long, { "Content-Length": String(long.length) }, path)).status, 413);
    assert.equal((await post(server, new Blob([long]).stream(), {}, path)).status, 413);
  }
  assert.equal((await post(server, endless)).status, 413);
  // A length that is a lie does not get past, and one that is as long as may be is read.
  assert.equal((await post(server, new Blob([long]).stream(), { "Content-Length": "5" })).status, 413);
  const longest = JSON.stringify({ prompt: "x".repeat(MAX_BODY - 13) });
  assert.equal(longest.length, MAX_BODY);
  assert.equal((await post(server, longest)).status, 400);
});

Deno.test("a compressed body is refused, whatever it is said to be", async () => {
  const server = harness();
  const body = '{"prompt":"cat"}';
  const zipped = await new Response(new Blob([body]).stream().pipeThrough(new CompressionStream("gzip")))
    .bytes();
  for (const encoding of ["gzip", "GZIP", "br", "deflate, gzip", "identity, gzip", "zstd", "nonsense"]) {
    for (const content of [zipped, body]) {
      const refused = await post(server, content, { "Content-Encoding": encoding });
      assert.deepEqual([refused.status, refused.headers.get("Accept-Encoding")], [415, "identity"], encoding);
      const { error } = await refused.json();
      assert.deepEqual([error.param, error.code], ["Content-Encoding", "encoded_body"]);
    }
  }
  assert.equal((await post(server, zipped, { "Content-Encoding": "gzip" }, "/admin/reload")).status, 415);
  for (const encoding of ["identity", "Identity", ""]) {
    assert.equal((await post(server, body, { "Content-Encoding": encoding })).status, 200, encoding);
  }
  assert.equal((await post(server, zipped, { "Transfer-Encoding": "gzip, chunked" })).status, 415);
  // Without a body there is nothing that could be compressed.
  assert.equal((await server.ask("/classes", { headers: { "Content-Encoding": "gzip" } })).status, 200);
});

Deno.test("a body that does not come is not waited for", async () => {
  const clock = new FakeClock();
  const server = harness({ body: { clock } });
  let cancelled = false;
  const slow = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode('{"prompt":')),
    cancel: () => {
      cancelled = true;
    },
  });
  const answer = post(server, slow);
  await until("a deadline", () => clock.pending > 0);
  clock.advance(9_999);
  assert.equal(
    await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 0, "waits"))]),
    "waits",
  );
  clock.advance(1);
  const response = await answer;
  assert.deepEqual([response.status, response.headers.get("Connection")], [408, "close"]);
  assert.ok(cancelled);
  assert.equal(clock.pending, 0);
});

Deno.test("a body must be JSON, in UTF-8, and not deep", async () => {
  const server = harness();
  const status = async (body: BodyInit, type = "application/json") =>
    (await post(server, body, { "Content-Type": type })).status;
  const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
  const deep = (levels: number) => `{"prompt":"cat","user":${nested(levels)}}`;
  assert.equal(await status("prompt=cat", "application/x-www-form-urlencoded"), 415);
  assert.equal(await status('{"prompt":"cat"}', "text/plain"), 415);
  assert.equal(await status('{"prompt":"cat"}', "application/jsonx"), 415);
  assert.equal(await status('{"prompt":"cat"}', "application/json; charset=utf-8"), 200);
  const latin1 = Uint8Array.from('{"prompt":"cat","user":"José"}', (character) => character.charCodeAt(0));
  for (const body of ["", "{", "{'prompt':1}", latin1]) {
    assert.equal(await status(body), 400);
  }
  for (const levels of [MAX_DEPTH, 10_000]) { // as many as a body may have values
    const response = await post(server, deep(levels));
    assert.equal(response.status, 400);
    assert.match((await response.json()).error.message, /nested deeper than 16/);
  }
});

Deno.test("over a socket: a body without a length, one that does not come, and one that is too long", async () => {
  const clock = new FakeClock();
  await overSocket({ body: { clock } }, async (_, port) => {
    const head =
      `POST ${IMAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n`;
    const chunk = "x".repeat(0x8000);
    const chunks = `8000\r\n${chunk}\r\n`.repeat(3) + "0\r\n\r\n";
    assert.match(
      await talk(port, `${head}Transfer-Encoding: chunked\r\n\r\n${chunks}`),
      /^HTTP\/1\.1 413 /,
    );
    assert.match(await talk(port, `${head}Content-Length: 99999999\r\n\r\n`), /^HTTP\/1\.1 413 /);
    const slow = talk(port, `${head}Content-Length: 50\r\n\r\n{"prompt":`);
    await until("a deadline", () => clock.pending > 0);
    clock.advance(10_000);
    assert.match(await slow, /^HTTP\/1\.1 408 /);
    assert.match(
      await talk(port, `${head}Content-Length: 16\r\n\r\n{"prompt":"cat"}`),
      /^HTTP\/1\.1 200 /,
    );
  });
});

Deno.test("over a socket: the Host header chooses no route, and makes nothing fail", async () => {
  await overSocket({ token: TOKEN }, async ({ log }, port) => {
    const ask = (host: string) =>
      talk(port, `GET /metrics HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    const bad = ["evil/healthz?", "evil/healthz#", "a b", "x@y", "a:b", "1.2.3.4.5", "h:99999", "[::1", "é"];
    for (const host of bad) assert.match(await ask(host), /^HTTP\/1\.1 400 /, host);
    const good = [
      "localhost:8000",
      "example.org",
      "my_host.local",
      "127.0.0.1:80",
      "[::1]:8000",
      "[fe80::1]",
    ];
    for (const host of good) assert.match(await ask(host), /^HTTP\/1\.1 401 /, host);
    assert.ok(log.every(({ level }) => level === "info"), JSON.stringify(log));
  });
});

Deno.test("over a socket: chunks that are none are answered 400, and no request is read after them", async () => {
  const clock = new FakeClock();
  await overSocket({ body: { clock } }, async ({ log }, port) => {
    const head = `POST ${IMAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
      "Transfer-Encoding: chunked\r\n\r\n3\r\n{}{\r\n";
    for (
      const chunk of [
        "zz\r\nabc",
        "-1\r\n",
        "ffffffffffffffffff\r\n",
        "3\r\nabcdef\r\n",
        "0\r\nno trailer\r\n\r\n",
      ]
    ) {
      using connection = await Deno.connect({ port });
      await connection.write(new TextEncoder().encode(head));
      await until("a deadline", () => clock.pending === 1); // where they come before, Deno.serve closes without an answer
      await connection.write(
        new TextEncoder().encode(`${chunk}GET /classes HTTP/1.1\r\nHost: localhost\r\n\r\n`),
      );
      const answer = await new Response(connection.readable).text();
      assert.match(answer, /^HTTP\/1\.1 400 [^]*\r\nconnection: close\r\n[^]*"code":"bad_body"/i, chunk);
      assert.equal(answer.match(/HTTP\/1\.1 /g)!.length, 1, answer);
    }
    assert.ok(log.every(({ level, code }) => level === "info" && code === "bad_body"));
  });
});

Deno.test("over a socket: one who goes in the middle of a body is no fault of the server's", async () => {
  await overSocket({}, async ({ log }, port) => {
    const connection = await Deno.connect({ port });
    const head = `POST ${IMAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
    await connection.write(new TextEncoder().encode(`${head}Content-Length: 50\r\n\r\n{"prompt":`));
    await new Promise((resolve) => setTimeout(resolve, 20));
    connection.close();
    await until("a line in the log", () => log.length > 0);
    const [{ level, status, code, error }] = log;
    assert.deepEqual([level, status, code, error], ["info", 499, "client_gone", undefined]);
  });
});

Deno.test("over a socket: what one who hangs up has asked for leaves the batch, or never gets there", async () => {
  const engine = { automatic: undefined, rows: 2 };
  await overSocket({ engine }, async ({ engine, context: { runner }, log }, port) => {
    const ask = async (request: string) => {
      const connection = await Deno.connect({ port });
      await connection.write(new TextEncoder().encode(request));
      return connection;
    };
    const end = "HTTP/1.1\r\nHost: localhost\r\n";
    const requests = [
      `GET /generate?steps=9 ${end}\r\n`,
      `GET /generate/stream?steps=9 ${end}\r\n`,
      `POST ${IMAGES} ${end}Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{"prompt":"cat"}`,
    ];
    for (const request of requests) {
      const running = await ask(request);
      await until("an image in the batch", () => engine.batch.length === 1);
      const waiting = await ask(request);
      await until("one that waits", () => runner.state.waiting === 1);
      engine.tick(3);
      const { id } = engine.batch[0];
      waiting.close();
      await until("none that waits", () => runner.state.waiting === 0);
      running.close();
      await until("the image removed", () => engine.removed.includes(id));
      assert.deepEqual([engine.batch, engine.added.length], [[], requests.indexOf(request) + 1]);
      await until("none that runs", () => runner.state.running === 0);
    }
    // A stream has its status before; the two requests for pictures, running and waiting, have not.
    await until("four 499 in the log", () => log.filter(({ status }) => status === 499).length === 4);
  });
});
