import assert from "node:assert/strict";
import { CheckpointError, DeviceError } from "../../lib/errors.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { version } from "../../server/metrics.ts";
import { type Harness, harness, problemOf } from "../support/server/harness.ts";

const TOKEN = "correct-horse-battery-staple";
const withToken = { headers: { Authorization: `Bearer ${TOKEN}` } };

Deno.test("health answers whatever state the engine is in", async () => {
  const { ask, engine, context } = harness();
  for (const change of [() => {}, () => engine.down(), () => context.runner.drain(1)]) {
    change();
    const response = await ask("/healthz");
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { status: "ok" });
  }
});

Deno.test("ready says why it is not", async () => {
  const { ask, engine, context } = harness();
  const ready = await ask("/readyz");
  assert.deepEqual([ready.status, await ready.json()], [200, {
    status: "ready",
    model: "fake-model-step-100",
  }]);

  engine.down();
  const down = await ask("/readyz");
  assert.deepEqual([down.status, down.headers.get("Retry-After")], [503, "5"]);
  assert.equal((await problemOf(down)).type, "urn:denoise:problem:engine_down");

  engine.up();
  assert.equal((await ask("/readyz")).status, 200);

  context.runner.drain(1);
  const draining = await ask("/readyz");
  assert.equal(draining.status, 503);
  assert.equal((await problemOf(draining)).type, "urn:denoise:problem:draining");
});

Deno.test("classes and models tell what is served, and nothing of the machine's directories", async () => {
  const { ask } = harness({ settings: { steps: undefined } });
  const { classes } = await (await ask("/classes")).json();
  assert.deepEqual([classes.length, classes[3]], [10, { index: 3, name: "cat" }]);
  const { models } = await (await ask("/models")).json();
  assert.deepEqual(models.map(({ classes: _, ...model }: { classes: string[] }) => model), [{
    id: "fake-model-step-100",
    name: "fake-model",
    default: true,
    on_device: true,
    step: 100,
    parameters: 123_456,
    digest: "0123456789abcdef".repeat(4),
    height: 32,
    width: 32,
    timesteps: 1000,
    sampler: "unipc",
    spacing: "karras",
    samplers: ["ddpm", "ddim", "euler", "euler-ancestral", "heun", "dpm++2m", "dpm++2m-sde", "unipc", "edm"],
    default_steps: {
      ...{ "ddpm": 1000, "ddim": 15, "euler": 15, "euler-ancestral": 15, "heun": 8, "dpm++2m": 15 },
      ...{ "dpm++2m-sde": 15, "unipc": 15, "edm": 8 },
    },
    guidance: true,
    objective: "epsilon",
    adapter: "fake adapter",
    precision: "float32",
    loaded: "2026-01-01T00:00:00.000Z",
  }]);
  assert.ok(!JSON.stringify(models).includes("/models/"));
});

Deno.test("a model with a guide names it, can be guided though it knows no class, and pictures say by what", async () => {
  const { ask } = harness({
    engine: { model: { config: presetConfig("tiny", 0), classes: [], guide: "epoch-5" } },
  });
  const { models: [{ guidance, guide }] } = await (await ask("/models")).json();
  assert.deepEqual([guidance, guide], [true, "epoch-5"]);
  const picture = await (await ask("/generate?steps=2&seed=1&format=json")).json();
  assert.deepEqual([picture.guidance, picture.guide], [2, "epoch-5"]);
});

Deno.test("while the engine is down, what needs the model is refused for now", async () => {
  const { ask, engine } = harness();
  engine.down();
  for (const path of ["/classes", "/models", "/generate", "/generate/stream"]) {
    const response = await ask(path);
    assert.deepEqual([response.status, response.headers.get("Retry-After")], [503, "5"], path);
    assert.equal((await problemOf(response)).retryAfter, 5);
  }
});

Deno.test("unknown paths and wrong methods are problems", async () => {
  const { ask } = harness();
  const unknown = await ask("/nothing/here?secret=1");
  assert.equal(unknown.status, 404);
  const problem = await problemOf(unknown);
  assert.deepEqual([problem.title, problem.status], ["Not Found", 404]);
  assert.equal(problem.instance, `urn:denoise:request:${unknown.headers.get("X-Request-Id")}`);

  const methods: [path: string, method: string, allowed: string][] = [
    ["/generate", "POST", "GET, HEAD, OPTIONS"],
    ["/generate/stream", "PUT", "GET, HEAD, OPTIONS"],
    ["/healthz", "DELETE", "GET, HEAD, OPTIONS"],
    ["/admin/reload", "GET", "OPTIONS, POST"],
    ["/", "PATCH", "GET, HEAD, OPTIONS"],
  ];
  for (const [path, method, allowed] of methods) {
    const response = await ask(path, { method });
    assert.deepEqual([response.status, response.headers.get("Allow")], [405, allowed], `${method} ${path}`);
    await problemOf(response);
  }
});

Deno.test("paths that climb reach nothing", async () => {
  const { ask } = harness();
  const paths = [
    "/..%2f..%2fetc/passwd",
    "/page/..%2f..%2fdeno.json",
    "/page/%2e%2e/main.ts",
    "/docs/../deno.json",
  ];
  for (
    const path of [...paths, "/page//etc/passwd", "/page/page.css%00.js", "/deno.json", "/server/main.ts"]
  ) {
    assert.equal((await ask(path)).status, 404, path);
  }
});

Deno.test("OPTIONS tells the methods, HEAD what GET would answer, without drawing", async () => {
  const { ask, engine } = harness();
  const options = await ask("/generate", { method: "OPTIONS" });
  assert.deepEqual([options.status, options.headers.get("Allow")], [204, "GET, HEAD, OPTIONS"]);
  assert.equal((await ask("/admin/reload", { method: "OPTIONS" })).headers.get("Allow"), "OPTIONS, POST");
  const server = await ask("/*", { method: "OPTIONS" }); // as Deno.serve tells `OPTIONS *`
  assert.deepEqual([server.status, server.headers.get("Allow")], [204, "DELETE, GET, HEAD, OPTIONS, POST"]);
  assert.equal((await ask("/*")).status, 404);
  const preflight = { "Origin": "https://app.example", "Access-Control-Request-Method": "GET" };
  for (const cors of [undefined, "https://app.example"]) {
    const { ask } = harness({ settings: { cors } });
    for (const headers of [{}, preflight]) {
      const options = await ask("/generate", { method: "OPTIONS", headers });
      assert.deepEqual([options.status, options.headers.get("Allow")], [204, "GET, HEAD, OPTIONS"]);
    }
    for (const path of ["/nothing", "/generate/nothing", "/v1", "/v1/nothing"]) {
      assert.equal((await ask(path, { method: "OPTIONS" })).status, 404, path);
      assert.equal((await ask(path, { method: "OPTIONS", headers: preflight })).status, 404, path);
    }
  }

  for (
    const [path, type] of [["/generate?format=webp", "image/webp"], ["/generate/stream", "text/event-stream"]]
  ) {
    const head = await ask(path, { method: "HEAD" });
    assert.deepEqual([head.status, head.headers.get("Content-Type"), await head.text()], [200, type, ""]);
  }
  assert.equal(engine.added.length, 0);
  assert.equal((await ask("/generate?seed=x", { method: "HEAD" })).status, 400);
  assert.equal((await ask("/healthz", { method: "HEAD" })).status, 200);
});

Deno.test("a fault inside is told to the log, and to nobody else", async () => {
  const encode = () => Promise.reject(new Error("secret of the encoder"));
  const { ask, log } = harness({ parts: { encoder: { encode, close() {} } } });
  const response = await ask("/generate");
  assert.equal(response.status, 500);
  assert.ok(!JSON.stringify(await problemOf(response)).includes("secret"));
  const [line] = log;
  assert.deepEqual([line.level, line.code, line.status], ["error", "internal", 500]);
  assert.match(String(line.error), /secret of the encoder[^]*app_test\.ts/);
});

Deno.test("a request keeps its id and its trace, in the answer and in the log", async () => {
  const { ask, log } = harness();
  const trace = {
    traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    tracestate: "vendor=a:1,other=b",
  };
  const headers = { "X-Request-Id": "abc-123.x_Y", ...trace };
  const response = await ask("/healthz", { headers });
  for (const [name, value] of Object.entries(headers)) assert.equal(response.headers.get(name), value);
  const { id, traceparent, tracestate } = log[0];
  assert.deepEqual([id, traceparent, tracestate], ["abc-123.x_Y", ...Object.values(trace)]);
});

Deno.test("ids and traces that are not sane are not taken", async () => {
  const { ask, log } = harness();
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  for (const id of ["", "a b", "x".repeat(65), "é", '{"a":1}', "../x"]) {
    const response = await ask("/healthz", { headers: { "X-Request-Id": id } });
    assert.match(response.headers.get("X-Request-Id")!, uuid, id);
  }
  const zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
  for (const traceparent of ["x", zero, "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]) {
    const response = await ask("/healthz", { headers: { traceparent, tracestate: "a=b" } });
    assert.deepEqual([response.headers.get("traceparent"), response.headers.get("tracestate")], [null, null]);
  }
  assert.ok(log.every((line) => line.traceparent === undefined && uuid.test(String(line.id))));
});

Deno.test("every request has its line, with the route and never the path", async () => {
  const { ask, log } = harness();
  await ask("/generate?class=cat&seed=1");
  await ask("/some/secret/path");
  const [drawn, unknown] = log;
  const { time, id, seconds, ...rest } = drawn;
  assert.deepEqual(rest, {
    level: "info",
    message: "request",
    client: "192.0.2.1",
    method: "GET",
    route: "/generate",
    model: "fake-model",
    status: 200,
  });
  assert.ok(!Number.isNaN(Date.parse(String(time))) && String(id).length > 0 && Number(seconds) > 0);
  assert.deepEqual([unknown.route, unknown.status, unknown.code], ["none", 404, "not_found"]);
  assert.ok(!JSON.stringify(log).includes("secret"));
});

/** The description, and every reference in it. */
async function describe({ ask }: Harness): Promise<{ document: OpenApi; references: string[] }> {
  const text = await (await ask("/openapi.json")).text();
  return {
    document: JSON.parse(text),
    references: [...text.matchAll(/"\$ref":"([^"]*)"/g)].map(([, reference]) => reference),
  };
}

interface OpenApi {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly security?: unknown;
  readonly paths: Record<string, Record<string, { parameters?: OpenApiParameter[]; security?: unknown }>>;
  readonly components: Record<string, Record<string, unknown>>;
}

interface OpenApiParameter {
  readonly name: string;
  readonly schema: {
    readonly type: string;
    readonly enum?: string[];
    readonly minimum?: number;
    maximum?: number;
  };
}

Deno.test("openapi.json describes every route, with the classes of the model that is served", async () => {
  const server = harness({ engine: { model: { classes: ["ox", "ass"] } } });
  const { document, references } = await describe(server);
  assert.deepEqual([document.openapi, document.info.version, document.security], [
    "3.1.0",
    version,
    undefined,
  ]);
  for (const reference of references) {
    const [, , kind, name] = reference.split("/");
    assert.ok(document.components[kind]?.[name], reference);
  }
  const undocumented = server.app.routes.filter(({ method, path }) =>
    ["GET", "POST"].includes(method) && !/^\/($|page\/|docs\/)/.test(path) &&
    !document.paths[path.replace(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()]
  );
  assert.deepEqual(undocumented, []);

  const parameters = document.paths["/generate"].get.parameters!;
  const schemaOf = (name: string) => parameters.find((parameter) => parameter.name === name)!.schema;
  assert.deepEqual(schemaOf("class").enum, ["ox", "ass", "0", "1", "any", "none"]);
  assert.deepEqual([schemaOf("count").type, schemaOf("count").maximum], ["integer", 64]);
  assert.deepEqual([schemaOf("guidance").type, schemaOf("guidance").minimum], ["number", 0]);
  assert.deepEqual(schemaOf("format").enum, ["png", "jpeg", "webp", "gif", "json"]);
  assert.equal(schemaOf("seed").maximum, Number.MAX_SAFE_INTEGER - 64);

  server.engine.up({ classes: ["ibex"] });
  const { document: after } = await describe(server);
  assert.deepEqual(after.paths["/generate"].get.parameters![0].schema.enum, ["ibex", "0", "any", "none"]);
  server.engine.down();
  assert.equal((await describe(server)).document.openapi, "3.1.0");
});

Deno.test("openapi.json tells of the token where there is one", async () => {
  const { ask } = harness({ token: TOKEN });
  const document: OpenApi = await (await ask("/openapi.json", withToken)).json();
  assert.deepEqual(document.security, [{ token: [] }]);
  assert.deepEqual(document.components.securitySchemes, {
    token: {
      type: "http",
      scheme: "bearer",
      description: "The server's token, or an API key of its operator's.",
    },
  });
  assert.deepEqual(document.paths["/healthz"].get.security, []);
});

Deno.test("docs shows the operations without scripts, and with text from the model as text", async () => {
  const { ask } = harness({ engine: { model: { classes: ["<script>alert(1)</script>"] } } });
  const response = await ask("/docs");
  assert.match(response.headers.get("Content-Type")!, /^text\/html/);
  const page = await response.text();
  for (
    const text of ["GET /generate", "POST /admin/reload", "POST /v1/images/generations", "&lt;script&gt;"]
  ) {
    assert.ok(page.includes(text), text);
  }
  assert.ok(!/<script|<style|style=|https?:/.test(page));
  const style = await ask("/docs/style.css");
  assert.match(style.headers.get("Content-Type")!, /^text\/css/);
});

Deno.test("a reload needs a token on the server and in the request", async () => {
  const open = harness();
  const response = await open.ask("/admin/reload", { method: "POST" });
  assert.equal(response.status, 403);
  assert.equal((await problemOf(response)).type, "urn:denoise:problem:no_token");

  const { ask } = harness({ token: TOKEN });
  assert.equal((await ask("/admin/reload", { method: "POST" })).status, 401);
  assert.equal((await ask("/admin/reload", { method: "POST", ...withToken })).status, 200);
  const other = await ask("/admin/reload?path=/models/other", { method: "POST", ...withToken });
  assert.equal(other.status, 400, "it takes no path, and says so");
  assert.equal((await problemOf(other)).detail, "path: unknown parameter; expected one of model");
});

Deno.test("a reload answers with what is served from then on; a second one meanwhile is refused", async () => {
  const { ask, engine } = harness({ token: TOKEN });
  const reloaded = Promise.withResolvers<void>();
  const reload = engine.reload.bind(engine);
  engine.reload = async (path) => {
    await reloaded.promise;
    return await reload(path);
  };
  const reloads = [0, 1].map(() => ask("/admin/reload", { method: "POST", ...withToken }));
  const second = await reloads[1];
  assert.equal(second.status, 409);
  assert.equal((await problemOf(second)).title, "Conflict");
  reloaded.resolve();
  const { model } = await (await reloads[0]).json();
  assert.deepEqual([model.id, model.loaded], ["fake-model-step-100", "2026-01-01T00:00:01.000Z"]);
  assert.equal((await ask("/admin/reload", { method: "POST", ...withToken })).status, 200);
});

Deno.test("a reload of a damaged model names the file, and the old model serves on", async () => {
  const { ask, engine } = harness({ token: TOKEN });
  engine.reloadError = new CheckpointError("model.safetensors: cut short at byte 12");
  const response = await ask("/admin/reload", { method: "POST", ...withToken });
  assert.equal(response.status, 500);
  const { detail, type } = await problemOf(response);
  assert.equal(type, "urn:denoise:problem:reload_failed");
  assert.equal(detail, "model.safetensors: cut short at byte 12; still serving fake-model-step-100");
  assert.equal((await ask("/generate", withToken)).status, 200);
  engine.reloadError = undefined;
  assert.equal((await ask("/admin/reload", { method: "POST", ...withToken })).status, 200);
});

Deno.test("a reload while the engine is down, or goes down meanwhile, is refused for now", async () => {
  const { ask, engine } = harness({ token: TOKEN });
  engine.reload = () => {
    engine.down();
    return Promise.reject(new DeviceError("the GPU worker failed"));
  };
  for (const when of ["meanwhile", "before"]) {
    const response = await ask("/admin/reload", { method: "POST", ...withToken });
    assert.deepEqual([response.status, response.headers.get("Retry-After")], [503, "5"], when);
    assert.equal((await problemOf(response)).type, "urn:denoise:problem:engine_down");
  }
});
