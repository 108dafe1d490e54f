import assert from "node:assert/strict";
import { EdmProcess } from "../../../lib/diffusion/edm_process.ts";
import { RectifiedFlow } from "../../../lib/diffusion/rectified_flow.ts";
import { samplerNames, spacingNames } from "../../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import type { ServedModel } from "../../../server/engine/engine.ts";
import { type Harness, harness } from "../../support/server/harness.ts";
import { makePng } from "../../support/synthetic.ts";

/** Texts that are no value of any parameter, nearly one, or one in another notation. */
const TEXTS = [
  ...["", " ", "-0", "-1", "0", "1", "0.5", "1e3", "1e400", "0x10", "٣", "1,5"],
  ...["NaN", "nan", "Infinity", "inf", "-inf", "null", "true", "[]", "[1]", "{}", ",", ":"],
  ...["0,inf", "inf,inf", "2,0.2", "0,0", "nan,1", "1e-320,1", "-1,1", "0.2,2,3"],
  ...["cat:", ":1", "cat:0", "cat:-1,dog:2", "cat:1e400,dog:1", "cat:NaN", "cat:1,cat:1", "any:1,cat:1"],
  ...["none:1,cat:1", "cat:1,", "constructor", "__proto__:1", "toString", "cat:1e-320,dog:1e-320"],
  ...["99999999999999999999999", "9007199254740993", "\0", "\u{1f600}", "x".repeat(3000)],
  Array.from({ length: 70 }, (_, i) => `${i % 10}:1`).join(","),
];

/** JSON values by their text, since some have none other. */
const VALUES = [
  ...[
    "[]",
    "[[]]",
    "{}",
    '{"a":1}',
    "true",
    "-1",
    "0",
    "0.5",
    "1e400",
    "-1e400",
    "1e-400",
    '"1"',
    '""',
    "null",
  ],
  ...[
    '"NaN"',
    '"\\u0000"',
    '"\\ud800"',
    '{"__proto__":1}',
    "9007199254740993",
    JSON.stringify("x".repeat(3000)),
  ],
];

/** No answer says where a file of the server is, or which line failed. */
const LEAK = /file:|\.ts\b|\bat [\w.]+ \(|\/models\/|node_modules/;

interface Answered {
  readonly status: number;
  readonly text: string;
}

/** Checks that a request was answered with a picture, or refused with all that a client needs to know. */
async function answered(what: string, asked: Promise<Response>): Promise<Answered> {
  const response = await asked;
  const { status } = response;
  const text = await response.text();
  if (status === 200) assert.ok(!text.includes("event: error"), `${what}: ${text}`);
  else {
    assert.ok(status === 400 || status === 404, `${what}: ${status} ${text}`); // 404 for a model
    const { error, errors, detail } = JSON.parse(text);
    const message = error ? error.message : detail;
    if (!error) assert.ok(errors.every(({ allowed }: { allowed: string }) => allowed.length > 0), what);
    assert.match(message, /expected |unknown parameter|sent twice|JSON/, what);
    assert.doesNotMatch(message, LEAK, what);
    assert.ok(message.length < 3000, `${what}: ${message.length} characters`);
  }
  return { status, text };
}

/** Checks that the server has logged no error, and goes on. */
async function assertSound({ ask, log }: Harness): Promise<void> {
  assert.deepEqual(log.filter(({ level }) => level === "error"), []);
  assert.equal((await ask("/generate?steps=1")).status, 200);
}

/** Names of a route's parameters, or of its body's fields of one type. */
async function namesOf({ ask }: Harness, path: string, type?: string): Promise<string[]> {
  const { paths, components } = await (await ask("/openapi.json")).json();
  if (type === undefined) return paths[path].get.parameters.map(({ name }: { name: string }) => name);
  const { schema } = paths[path].post.requestBody.content[type];
  return Object.keys((components.schemas[schema.$ref?.split("/").at(-1)] ?? schema).properties);
}

Deno.test("any text as any parameter of the query is taken or refused", async () => {
  const server = harness();
  for (const path of ["/generate", "/generate/stream"]) {
    for (const name of await namesOf(server, path)) {
      for (const value of TEXTS) {
        const one = `${name}=${encodeURIComponent(value)}`;
        await answered(one, server.ask(`${path}?${one}${name === "steps" ? "" : "&steps=2"}`));
      }
      const twice = await answered(`${name} twice`, server.ask(`${path}?${name}=1&${name}=1`));
      assert.equal(twice.status, 400, name);
    }
  }
  await assertSound(server);
});

const models: Record<string, Partial<ServedModel>> = {
  "zero terminal SNR": { schedule: new NoiseSchedule({ objective: "v", zeroTerminalSnr: true }) },
  "rectified flow": { schedule: new RectifiedFlow() },
  EDM: { schedule: new EdmProcess() },
  "no classes": { classes: [], config: presetConfig("tiny", 0) },
  "a guide": { guide: "weaker" },
  "a learned variance": { config: presetConfig("tiny", 10, { outChannels: 6 }) },
};
for (const [what, model] of Object.entries(models)) {
  Deno.test(`any sampler with any spacing and few steps is drawn or refused by a model with ${what}`, async () => {
    const server = harness({ engine: { model } });
    let drawn = 0;
    for (const sampler of samplerNames) {
      for (const spacing of spacingNames) {
        for (const steps of [1, 2]) {
          const query = new URLSearchParams({
            sampler,
            spacing,
            steps: `${steps}`,
            guidance_interval: "0.2,2",
          });
          if (sampler === "edm") query.set("churn", "100000");
          if (sampler === "ddpm") query.set("variance", "learned_range");
          const { status } = await answered(`${query}`, server.ask(`/generate?${query}`));
          if (status === 200) drawn++;
        }
      }
    }
    assert.ok(drawn > 20, `${drawn}`);
    await assertSound(server);
  });
}

const PICTURE = (await makePng(32, 32, (x) => [x, 0, 0])).toBase64();
const url = (base64: string) => ({ image_url: `data:image/png;base64,${base64}` });

function post({ ask }: Harness, path: string, text: string): Promise<Response> {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: text });
}

Deno.test("any JSON as any field of a body is taken or refused", async () => {
  const server = harness();
  for (const path of ["/v1/images/generations", "/v1/images/edits"]) {
    const fields = { prompt: "a cat", steps: 1, ...path.endsWith("edits") ? { images: [url(PICTURE)] } : {} };
    for (const name of await namesOf(server, path, "application/json")) {
      for (const value of VALUES) {
        const members = Object.entries({ ...fields, [name]: "REPLACED" })
          .map(([name, field]) =>
            `${JSON.stringify(name)}:${field === "REPLACED" ? value : JSON.stringify(field)}`
          );
        await answered(`${path} ${name} ${value}`, post(server, path, `{${members.join(",")}}`));
      }
    }
    for (const body of ["", "[]", "null", "1", "{", '{"prompt":"a cat"', "\ufeff{}", `${"[".repeat(5000)}`]) {
      const { status } = await answered(body.slice(0, 20), post(server, path, body));
      assert.equal(status, 400, body);
    }
  }
  await assertSound(server);
});

Deno.test("a form is taken whole or refused, wherever it is cut off", async () => {
  const server = harness();
  const form = new FormData();
  form.set("prompt", "a cat");
  form.set("steps", "1");
  form.set("image", new Blob([Uint8Array.fromBase64(PICTURE)]), '../../etc/passwd";');
  const whole = new Response(form);
  const type = whole.headers.get("Content-Type")!;
  const bytes = new Uint8Array(await whole.arrayBuffer());
  const send = (body: Uint8Array<ArrayBuffer>) =>
    server.ask("/v1/images/edits", { method: "POST", headers: { "Content-Type": type }, body });
  for (let end = 0; end < bytes.length; end += 7) {
    const response = await send(bytes.slice(0, end));
    assert.equal(response.status, 400, `cut off after ${end} bytes`);
    assert.doesNotMatch(await response.text(), LEAK);
  }
  assert.equal((await send(bytes)).status, 200);
  await assertSound(server);
});

Deno.test("any text as any field of a form is taken or refused", async () => {
  const server = harness();
  for (const name of await namesOf(server, "/v1/images/edits", "multipart/form-data")) {
    for (const value of TEXTS) {
      const form = new FormData();
      form.set("prompt", "a cat");
      form.set("steps", "1");
      form.set("image", new Blob([Uint8Array.fromBase64(PICTURE)]), "a.png");
      form.set(name, value);
      const asked = server.ask("/v1/images/edits", { method: "POST", body: form });
      await answered(`${name}=${value}`, asked);
    }
  }
  await assertSound(server);
});

Deno.test("pictures of any shape are edited, and a mask of another shape is refused with both", async () => {
  const server = harness();
  const sides = [[1, 1], [1, 4000], [4000, 1], [31, 33]] as const;
  for (const [width, height] of sides) {
    const image = (await makePng(width, height, () => [9, 9, 9])).toBase64();
    const mask = (await makePng(width, height, () => [0, 0, 0, 0])).toBase64();
    const other = (await makePng(height + 1, width, () => [0, 0, 0, 0])).toBase64();
    const edit = (fields: object) =>
      post(
        server,
        "/v1/images/edits",
        JSON.stringify({ prompt: "a cat", steps: 2, images: [url(image)], ...fields }),
      );
    for (const fields of [{}, { mask: url(mask) }, { strength: 1e-300 }, { mask: url(mask), strength: 1 }]) {
      const { status, text } = await answered(`${width}x${height}`, edit(fields));
      assert.equal(status, 200, text);
    }
    const { status, text } = await answered("another mask", edit({ mask: url(other) }));
    assert.equal(status, 400);
    assert.ok(
      text.includes(`mask: ${height + 1} x ${width} pixels, expected ${width} x ${height} pixels`),
      text,
    );
  }
  await assertSound(server);
});
