import assert from "node:assert/strict";
import { join } from "node:path";
import { defaultSettings } from "../../server/settings.ts";
import { serverArguments, startServer } from "../../terminal/server_process.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import {
  askUntil,
  launch,
  metric,
  MODEL,
  MODELS,
  type Running,
  soon,
  withServer,
} from "../support/server/process.ts";

/** Far more steps than a test waits for. */
const ENDLESS = "steps=1000&sampler=ddpm&count=64";

/** Starts drawing, and resolves when it has begun. */
async function startDrawing({ url }: Running, query: string): Promise<{ answer: Promise<Response> }> {
  const answer = fetch(`${url}/generate?${query}`);
  answer.catch(() => {}); // some tests end the server before it answers
  await askUntil(`${url}/metrics`, (_, text) => metric(text, "batch_images") > 0);
  return { answer };
}

/** In a directory that Deno can be given leave to read: below /dev it takes all permissions together. */
const onDisk = (body: (directory: string) => Promise<void>): Promise<void> =>
  inTemporaryDirectory(body, { onDisk: true });

/** The body of an answer that must be a good one. */
async function bytes(asked: Promise<Response>): Promise<Uint8Array> {
  const answer = await asked;
  const body = new Uint8Array(await answer.arrayBuffer());
  assert.equal(answer.status, 200, new TextDecoder().decode(body));
  return body;
}

Deno.test("a ready server names its address, model and adapter, and draws in every format with its permissions", async () => {
  await withServer({}, async ({ url, child, logged, ended }) => {
    const { model, path, adapter, classes } = await logged("ready");
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.deepEqual([model, path, classes], ["tiny_pipeline", MODEL, 3]);
    for (const format of ["png", "jpeg", "webp", "gif", "json"]) {
      const { length } = await bytes(fetch(`${url}/generate?seed=1&steps=2&format=${format}`));
      assert.ok(length > 50, format);
    }
    for (const path of ["/", "/docs", "/openapi.json", "/metrics", "/classes", "/models"]) {
      await bytes(fetch(url + path));
    }
    child.kill("SIGTERM");
    const { code, err } = await ended();
    assert.equal(code, 0);
    assert.deepEqual(err.split("\n"), [
      `address  ${url}`,
      `model    tiny_pipeline (${MODEL}, 8 x 8, 7,997 parameters, 3 classes)`,
      `adapter  ${adapter}`,
      `try      curl -fo image.png '${url}/generate?class=0'`,
      "",
    ]);
  });
});

/** Tries what the server has no business doing, and prints what it could. */
const PROBE = `
const [model, outside, port] = Deno.args;
const attempts = {
  "read the model": () => Deno.readTextFileSync(model + "/model_index.json"),
  "listen where it was told": () => Deno.listen({ hostname: "127.0.0.1", port: Number(port) }).close(),
  "read beside the model": () => Deno.readTextFileSync(model + "/../README.md"),
  "read the system's files": () => Deno.readTextFileSync("/etc/passwd"),
  "write": () => Deno.writeTextFileSync(outside, ""),
  "write into the model": () => Deno.writeTextFileSync(model + "/new", ""),
  "listen elsewhere": () => Deno.listen({ hostname: "0.0.0.0", port: Number(port) }).close(),
  "listen on any port": () => Deno.listen({ hostname: "127.0.0.1", port: 0 }).close(),
  "listen on another port": () => Deno.listen({ hostname: "127.0.0.1", port: 1 }).close(),
  "connect": () => Deno.connect({ hostname: "127.0.0.1", port: 9 }),
  "run": () => new Deno.Command("true").outputSync(),
  "see the environment": () => Deno.env.toObject(),
  "load a library": () => Deno.dlopen("libc.so.6", {}),
  "see the host's name": () => Deno.hostname(),
};
const could = [];
for (const [what, attempt] of Object.entries(attempts)) {
  try {
    await attempt();
    could.push(what);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) could.push(what + ": " + error);
  }
}
console.log(JSON.stringify(could));`;

Deno.test("the process may read the model and listen at its address, and nothing else that is tried", async () => {
  await inTemporaryDirectory(async (directory) => {
    const probe = join(directory, "probe.js");
    await Deno.writeTextFile(probe, PROBE);
    const args = serverArguments({ ...defaultSettings, models: MODELS, port: 0 });
    const main = args.findIndex((arg) => arg.endsWith("server/main.ts"));
    const { freePorts } = JSON.parse(args[main + 1]);
    args.splice(main, args.length, probe, MODEL, join(directory, "new"), String(freePorts[0]));
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assert.deepEqual(JSON.parse(text(stdout)), ["read the model", "listen where it was told"], text(stderr));
  });
});

Deno.test("SIGTERM: not ready but answering, new requests refused, the one under way finished, exit 0", async () => {
  await withServer({}, async (server) => {
    const { url, child, logged, ended, log } = server;
    const { answer } = await startDrawing(server, "seed=5&steps=300&class=1");
    child.kill("SIGTERM");
    await askUntil(`${url}/readyz`, ({ status }) => status === 503);
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
    const refused = await fetch(`${url}/generate?steps=1`);
    assert.equal(refused.status, 503);
    assert.ok(refused.headers.has("Retry-After"));
    assert.match(await refused.text(), /shutting down/);
    assert.ok(log.every(({ message }) => message !== "stopped"));
    const image = await bytes(answer);
    assert.ok(image.length > 100);
    assert.equal((await ended()).code, 0);
    assert.equal((await logged("stopping")).why, "SIGTERM");
    await logged("stopped");
  });
});

Deno.test("SIGTERM: what waits is refused at once, what is being drawn when its time is over", async () => {
  // Time enough that none is refused because it would have to wait too long.
  await withServer({ maxBatch: 2, grace: 1, queue: 30, timeout: 86_400 }, async (server) => {
    const { url, child, ended } = server;
    const { answer: running } = await startDrawing(server, ENDLESS);
    const waiting = Array.from({ length: 20 }, () => fetch(`${url}/generate?steps=1000&sampler=ddpm`));
    await askUntil(`${url}/metrics`, (_, text) => metric(text, "queue_depth") === 20);
    child.kill("SIGTERM");
    for (const answer of await Promise.all(waiting)) {
      assert.deepEqual([answer.status, answer.headers.has("Retry-After")], [503, true]);
      assert.match(await answer.text(), /problem:draining/);
    }
    await askUntil(`${url}/metrics`, (_, text) => metric(text, "requests_running") === 1);
    const answer = await running;
    assert.equal(answer.status, 503);
    await answer.body!.cancel();
    assert.equal((await ended()).code, 0);
  });
});

Deno.test("a log whose reader stalls holds nobody up", async () => {
  const settings = { ...defaultSettings, models: MODELS, port: 0 };
  const child = startServer(settings, { stdout: "piped", stderr: "null" });
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const readUntil = async (wanted: RegExp) => {
    while (!wanted.test(text)) {
      const { done, value } = await soon(reader.read(), `${wanted} in ${text.slice(-1000)}`);
      assert.ok(!done);
      text += value;
    }
    return wanted.exec(text)!;
  };
  try {
    const [, url] = await readUntil(/"ready","url":"([^"]+)"/);
    // More lines than a pipe takes.
    const healthy = async () => assert.ok((await bytes(fetch(`${url}/healthz`))).length > 0);
    for (let i = 0; i < 60; i++) await soon(Promise.all(Array.from({ length: 20 }, healthy)), "health");
    child.kill("SIGTERM");
    await readUntil(/"stopped"/);
    assert.equal(text.match(/"route":"\/healthz"/g)!.length, 1200);
  } finally {
    await reader.cancel();
    try {
      child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await child.status;
    await child.stdin.close().catch(() => {});
  }
});

for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  Deno.test(`a second ${signal} ends it at once with ${code}; one that follows in an instant is no second one`, async () => {
    await withServer({}, async (server) => {
      const { url, child, logged, ended } = server;
      await startDrawing(server, ENDLESS);
      child.kill(signal);
      child.kill(signal);
      await logged("stopping");
      child.kill(signal);
      // Longer than signals of one wish are apart.
      await new Promise((resolve) => setTimeout(resolve, 600));
      assert.equal((await fetch(`${url}/readyz`)).status, 503, "it still draws, and answers");
      child.kill(signal);
      assert.equal((await ended()).code, code);
      await logged("stopping at once");
    });
  });
}

Deno.test("while it loads the model it outlives SIGHUP, and SIGTERM ends it with 0", async () => {
  const { child, logged, ended, log } = launch();
  const { url } = await logged("loading");
  child.kill("SIGHUP");
  child.kill("SIGTERM");
  assert.deepEqual(await ended(), { code: 0, err: "" });
  assert.match(String(url), /^http:/);
  assert.deepEqual(log.map(({ message }) => message), ["loading", "stopping"]);
});

Deno.test("it finishes and ends when the process that started it has gone", async () => {
  await withServer({}, async (server) => {
    const { answer } = await startDrawing(server, "seed=5&steps=100");
    await server.child.stdin.close();
    await bytes(answer);
    assert.equal((await server.ended()).code, 0);
    assert.match(String((await server.logged("stopping")).why), /has ended/);
  });
});

Deno.test("SIGHUP serves what is in the directory now; what cannot be read leaves the old model serving", async () => {
  await onDisk(async (directory) => {
    const model = join(directory, "model");
    const weights = join(model, "unet/diffusion_pytorch_model.safetensors");
    for (const part of ["unet", "scheduler"]) {
      await Deno.mkdir(join(model, part), { recursive: true });
      for await (const { name } of Deno.readDir(join(MODEL, part))) {
        await Deno.copyFile(join(MODEL, part, name), join(model, part, name));
      }
    }
    await withServer({ models: [{ name: "model", path: model }] }, async ({ url, child, logged, log }) => {
      const draw = () => bytes(fetch(`${url}/generate?seed=3&class=1&steps=5&format=json`));
      const first = await draw();
      assert.deepEqual(await draw(), first);
      const file = await Deno.readFile(weights);
      // The last tensor's last value: 0.5 instead of what it was.
      new DataView(file.buffer).setFloat32(file.length - 4, 0.5, true);
      await Deno.writeFile(weights, file);
      child.kill("SIGHUP");
      await logged("model reloaded");
      const second = await draw();
      assert.notDeepEqual(second, first);
      await Deno.writeFile(weights, file.subarray(0, 1000));
      child.kill("SIGHUP");
      const refusal = await logged("reload failed; still serving the old model");
      assert.match(String(refusal.error), /diffusion_pytorch_model\.safetensors/);
      assert.deepEqual(await draw(), second);
      assert.equal(log.filter(({ message }) => message === "model reloaded").length, 1);
    });
  });
});

/** A connection that has sent `text` and waits. */
async function connect(url: string, text: string): Promise<Deno.TcpConn> {
  const { hostname, port } = new URL(url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(new TextEncoder().encode(text));
  return connection;
}

Deno.test("clients that are slow, and clients that leave, hold nobody up", async (test) => {
  await withServer({ queue: 256, timeout: 3600 }, async ({ url, child, ended, log }) => {
    const patient = { signal: AbortSignal.timeout(20_000) };
    const slow = {
      "headers": "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
      "a body":
        "POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
        "Content-Length: 1000\r\n\r\n{",
      "taking events": "GET /generate/stream?steps=5&every=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
      // Far more than the sockets' buffers hold, which is some MB.
      "reading": "GET /page/page.css HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000),
    };
    const connections: Deno.TcpConn[] = [];
    for (const [what, text] of Object.entries(slow)) {
      await test.step(`50 are slow with ${what}`, async () => {
        connections.push(...await Promise.all(Array.from({ length: 50 }, () => connect(url, text))));
        assert.equal((await bytes(fetch(`${url}/healthz`, patient))).length, '{"status":"ok"}'.length);
        await bytes(fetch(`${url}/generate?steps=1`, patient));
      });
    }
    await test.step("200 leave, most while they wait: nothing of theirs is drawn, and the next is", async () => {
      const state = async () => {
        const text = await (await fetch(`${url}/metrics`)).text();
        return ["queue_depth", "requests_running", "batch_images", "images_total"]
          .map((name) => metric(text, name));
      };
      await askUntil(`${url}/metrics`, (_, text) => metric(text, "requests_running") === 0);
      const [, , , drawn] = await state();
      const leave = new AbortController();
      const requests = Array.from(
        { length: 200 },
        (_, seed) => fetch(`${url}/generate?steps=1000&sampler=ddpm&seed=${seed}`, { signal: leave.signal }),
      );
      const answers = Promise.allSettled(requests);
      await askUntil(
        `${url}/metrics`,
        (_, text) => metric(text, "queue_depth") + metric(text, "requests_running") === 200,
      );
      leave.abort();
      for (const { status } of await answers) assert.equal(status, "rejected");
      await bytes(fetch(`${url}/generate?steps=1`, patient));
      assert.deepEqual(await state(), [0, 0, 0, drawn + 1]);
    });

    const answered = log.filter(({ route }) => route === "/page/page.css").length;
    assert.ok(answered > 50 && answered < 40_000, `${answered} answers went into buffers`);
    for (const connection of connections) connection.close();

    await test.step("one that never ends its headers does not keep the server from ending", async () => {
      const connection = await connect(url, slow.headers);
      child.kill("SIGTERM");
      assert.equal((await ended()).code, 0);
      connection.close();
    });
  });
});

Deno.test("a failed start is one line with the cause and the remedy, and an exit status", async () => {
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  await onDisk(async (directory) => {
    const token = join(directory, "token");
    await Deno.writeTextFile(token, "no token\n", { mode: 0o600 });
    const cases: [Parameters<typeof launch>[0], number, RegExp][] = [
      [{ port }, 1, new RegExp(`^error: 127\\.0\\.0\\.1:${port} is in use: .*--port.*\n$`)],
      [{ host: "192.0.2.1" }, 1, /^error: cannot listen on 192\.0\.2\.1:\d+: .*\n$/],
      [
        { tokenFile: join(directory, "none") },
        2,
        /^error: --token-file: expected a file that can be read .*\n$/,
      ],
      [{ tokenFile: token }, 2, /^error: --token-file: expected letters, .*\n$/],
      [
        { models: [{ name: "none", path: join(directory, "none") }] },
        1,
        /^error: .*none: no such file or directory; expected .*\n$/,
      ],
      [{ maxImages: 0 }, 2, /^error: settings: .*maxImages: expected a number from 1 to 4096.*\n$/],
    ];
    const outcomes = await Promise.all(cases.map(([settings]) => launch(settings).ended()));
    for (const [i, { code, err }] of outcomes.entries()) {
      assert.match(err, cases[i][2]);
      assert.equal(code, cases[i][1], err);
    }
  });
  taken.close();
});
