import assert from "node:assert/strict";
import fc from "fast-check";
import type { JobRunner } from "../../../server/queue/job.ts";
import { CIFAR10_CLASSES } from "../../../lib/data/cifar10.ts";
import { fakeModel, fakePixels } from "../../support/server/fake_engine.ts";
import { harness, problemOf } from "../../support/server/harness.ts";

/** Draws and encodes nothing: for what is decided before. */
function idle(): ReturnType<typeof harness> {
  const runner: JobRunner = {
    state: { waiting: 0, running: 0, images: 0, rows: 0, parked: 0, background: 0, draining: false },
    models: new Map(),
    run: ({ draw, client, signal }) =>
      Promise.resolve({
        job: { client, signal },
        model: fakeModel(),
        images: draw.labels.map((label, i) => fakePixels({ label, seed: draw.seed + i, steps: draw.steps })),
        waited: 0,
        seconds: 0,
      }),
    drain: () => Promise.resolve(),
  };
  return harness({
    parts: { runner, encoder: { encode: () => Promise.resolve([Uint8Array.of(1)]), close() {} } },
  });
}

/** Each wrong query with the field that must be named. */
const wrong: readonly (readonly [query: string, field: string])[] = [
  ["class=", "class"],
  ["class=zebra", "class"],
  ["class=10", "class"],
  ["class=-1", "class"],
  ["class=cat&class=dog", "class"],
  ["class=cat&class=cat", "class"],
  ["class=%20cat", "class"],
  ["seed=", "seed"],
  ["seed=NaN", "seed"],
  ["seed=1e999", "seed"],
  ["seed=1e3", "seed"],
  ["seed=0x10", "seed"],
  ["seed=-0", "seed"],
  ["seed=-1", "seed"],
  ["seed=1.0", "seed"],
  ["seed=9007199254740992", "seed"],
  ["seed=%207%20", "seed"],
  ["seed=+7", "seed"],
  ["seed=%2B7", "seed"],
  ["seed=%D9%A7", "seed"],
  ["seed=1&seed=1", "seed"],
  ["count=0", "count"],
  ["count=65", "count"],
  ["count=1e1", "count"],
  ["steps=0", "steps"],
  ["steps=1001", "steps"],
  ["sampler=DDIM", "sampler"],
  ["sampler=eulr", "sampler"],
  ["guidance=-1", "guidance"],
  ["guidance=Infinity", "guidance"],
  ["guidance=100.5", "guidance"],
  ["guidance=1e1", "guidance"],
  ["class=none&guidance=3", "guidance"],
  ["eta=1.5", "eta"],
  ["eta=0.5&sampler=ddpm", "eta"],
  ["scale=0", "scale"],
  ["scale=17", "scale"],
  ["format=tiff", "format"],
  ["format=PNG", "format"],
  ["colour=red", "colour"],
  ["every=3", "every"],
  ["__proto__=1", "__proto__"],
  ["=1", ""],
];

Deno.test("a wrong parameter is refused with its name, its value and what is allowed", async (test) => {
  const { ask } = idle();
  for (const [query, field] of wrong) {
    await test.step(query, async () => {
      const response = await ask(`/generate?${query}`);
      assert.equal(response.status, 400);
      const problem = await problemOf(response);
      assert.deepEqual(problem.errors?.map((error) => error.field), [field]);
      assert.ok(problem.errors![0].allowed.length > 0);
      const unknown = ["colour", "every", "__proto__", ""].includes(field);
      assert.ok(
        problem.detail.includes(`${field}: ${unknown ? "unknown parameter" : "expected "}`),
        problem.detail,
      );
    });
  }
});

Deno.test("all that is wrong is told at once, with what came", async () => {
  const problem = await problemOf(await idle().ask("/generate?seed=-0&scale=1&scale=2&colour=red"));
  assert.deepEqual(problem.errors, [
    { field: "seed", value: "-0", allowed: "a whole number from 0 to 9007199254740927" },
    { field: "scale", value: ["1", "2"], allowed: "a single value" },
    {
      field: "colour",
      value: "red",
      allowed:
        "one of class, model, count, steps, sampler, spacing, guidance, negative_class, guidance_rescale, guidance_interval, eta, variance, churn, seed, scale, format",
    },
  ]);
});

Deno.test("the range of steps is the model's, whatever is wrong with them", async () => {
  for (const steps of ["0", "1001", "5000", "100001", "x"]) {
    const { errors } = await problemOf(await idle().ask(`/generate?sampler=ddim&steps=${steps}`));
    assert.equal(errors![0].allowed, "a whole number from 1 to 1000", steps);
  }
});

Deno.test("an unknown class is answered with the classes", async () => {
  const [error] = (await problemOf(await idle().ask("/generate?class=zebra"))).errors!;
  for (const word of [...CIFAR10_CLASSES, "0", "9", "any", "none"]) {
    assert.ok(error.allowed.includes(word), word);
  }
  assert.ok(!error.allowed.includes("did you mean"), error.allowed);
  const near = await problemOf(await idle().ask("/generate?class=kat"));
  assert.match(near.detail, /^class: expected airplane, .*, or none \(did you mean cat\?\), got "kat"$/);
});

Deno.test("an unknown parameter is answered with the nearest and with all that there are", async () => {
  const all =
    "class, model, count, steps, sampler, spacing, guidance, negative_class, guidance_rescale, guidance_interval, eta, variance, churn, seed, scale";
  const cases: [query: string, detail: string][] = [
    ["/generate?clas=cat", `clas: unknown parameter (did you mean class?); expected one of ${all}, format`],
    ["/generate?q=cat", `q: unknown parameter; expected one of ${all}, format`],
    [
      "/generate/stream?Seed=1&evry=2",
      `Seed: unknown parameter (did you mean seed?); expected one of ${all}, every; ` +
      "evry: unknown parameter (did you mean every?)",
    ],
  ];
  for (const [query, detail] of cases) {
    const problem = await problemOf(await idle().ask(query));
    assert.equal(problem.detail, detail);
    assert.deepEqual(Object.keys(problem.errors![0]), ["field", "value", "allowed"]);
  }
});

Deno.test("values sent are cut short in the answer", async () => {
  const problem = await problemOf(await idle().ask(`/generate?class=${"x".repeat(5000)}`));
  assert.ok(JSON.stringify(problem).length < 1000);
});

Deno.test("an answer does not grow with what is wrong: ten of it are named, and how many more there are", async () => {
  const { ask } = idle();
  const names = Array.from({ length: 700 }, (_, i) => `name${i}`);
  const problem = await problemOf(await ask(`/generate?seed=x&${names.join("=1&")}=1`));
  assert.deepEqual(problem.errors!.map(({ field }) => field), ["seed", ...names.slice(0, 9)]);
  assert.match(problem.detail, /; and 691 more$/);
  assert.equal(problem.detail.split("expected one of class").length, 2, "what there is is told once");
  assert.ok(JSON.stringify(problem).length < 3000);
  const long = await problemOf(await ask(`/generate?${"n".repeat(5000)}=1`));
  assert.ok(JSON.stringify(long).length < 1000);
});

Deno.test("right values of every parameter are taken", async () => {
  const { ask } = idle();
  const queries = [
    "class=CAT&count=64&steps=1000&sampler=ddpm&guidance=100&seed=0&scale=1&format=png",
    "class=3&eta=0.5&sampler=ddim&guidance=2.25&seed=9007199254740927&scale=16&format=jpeg",
    "class=any&count=10&format=json",
    "class=None&guidance=1&format=webp",
    "class=c%61t",
    "",
  ];
  for (const query of queries) assert.equal((await ask(`/generate?${query}`)).status, 200, query);
});

Deno.test("no query makes the server fail, and every refusal is a problem", async () => {
  const { ask } = idle();
  const names = [
    "class",
    "count",
    "steps",
    "sampler",
    "spacing",
    "guidance",
    "negative_class",
    "guidance_rescale",
    "guidance_interval",
    "eta",
    "variance",
    "churn",
    "seed",
    "scale",
    "format",
    "every",
  ];
  const name = fc.oneof(fc.constantFrom(...names), fc.string({ unit: "binary", maxLength: 8 }));
  const number = fc.oneof(fc.integer(), fc.double(), fc.bigInt()).map(String);
  const likely = fc.constantFrom(
    "cat",
    "any",
    "none",
    "3",
    "1",
    "json",
    "ddpm",
    "16",
    "0.5",
    "gif",
    "64",
    "0.2,inf",
    "cat:1,dog:2",
  );
  const value = fc.oneof(likely, number, fc.string({ unit: "binary" }));
  const pair = fc.tuple(name, value).map(([name, value]) => `${encode(name)}=${encode(value)}`);
  const raw = fc.string({ maxLength: 40 }).map((text) => text.replaceAll("#", ""));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 5, arbitrary: pair }, raw), { maxLength: 6 }),
      async (parts) => {
        for (const path of ["/generate", "/generate/stream"]) {
          const response = await ask(`${path}?${parts.join("&")}`);
          if (response.status === 200) await response.body?.cancel();
          else {
            assert.equal(response.status, 400);
            const { errors, detail } = await problemOf(response);
            assert.ok(errors!.length > 0 && detail.length > 0);
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});

/** Percent-encodes any string; half a surrogate pair, which `encodeURIComponent` refuses, as a server may get it. */
function encode(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text) : "%ED%A0%80";
}

Deno.test("a limit of steps bounds what may be asked for and every default, and is in /openapi.json", async () => {
  const { ask } = harness({ settings: { maxSteps: 10, steps: undefined, maxWork: 50 } });
  for (const sampler of ["ddim", "ddpm"]) {
    const answer = await ask(`/generate?class=cat&seed=1&sampler=${sampler}`);
    assert.deepEqual([answer.status, answer.headers.get("X-Steps")], [200, "10"]);
  }
  for (const path of ["/generate?steps=11", "/generate/stream?steps=11"]) {
    const { detail } = await problemOf(await ask(path));
    assert.match(detail, /^steps: expected a whole number from 1 to 10, got "11"$/);
  }
  const { status, detail, errors } = await problemOf(await ask("/generate?class=cat&count=3&guidance=2"));
  assert.deepEqual([status, errors?.[0].field], [400, "steps"]);
  assert.match(detail, /at most 8 steps x 3 images or 10 steps x 2 images: 50 network evaluations a client/);
  const { paths } = await (await ask("/openapi.json")).json();
  const steps = paths["/generate"].get.parameters.find(({ name }: { name: string }) => name === "steps");
  assert.equal(steps.schema.maximum, 10);
  assert.match(
    steps.schema.description ?? steps.description,
    /limited to 50 and to what takes 120 seconds/,
  );
  const body = JSON.stringify({ prompt: "a cat", steps: 11 });
  const headers = { "Content-Type": "application/json" };
  const openai = await ask("/v1/images/generations", { method: "POST", headers, body });
  assert.equal(openai.status, 400);
  assert.match((await openai.json()).error.message, /steps: expected a whole number from 1 to 10, got 11/);
});

Deno.test("too much work of one client is 429, with the time after which to come again", async () => {
  const { ask } = harness({ settings: { maxWork: 300 }, engine: { automatic: 20 } });
  const gone = new AbortController();
  const first = ask("/generate?class=cat&steps=200&guidance=1", { signal: gone.signal });
  const answer = await ask("/generate?class=cat&steps=101&guidance=1");
  const { status, title, type, retryAfter } = await problemOf(answer);
  assert.deepEqual([status, title, type], [429, "Too Many Requests", "urn:denoise:problem:too_much_work"]);
  assert.equal(answer.headers.get("Retry-After"), String(retryAfter));
  gone.abort();
  assert.equal((await first).status, 499);
});
