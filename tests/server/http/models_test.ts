/** The choice of a model in requests, among several. */
import assert from "node:assert/strict";
import { presetConfig } from "../../../lib/model/presets.ts";
import { type Harness, harness, problemOf } from "../../support/server/harness.ts";
import { withJobs } from "../../support/server/jobs.ts";

const OTHERS = [{
  name: "small",
  model: {
    id: "small-step-7",
    classes: ["ox", ...Array.from({ length: 9 }, (_, i) => `beast ${i}`)],
    height: 16,
    width: 16,
    config: { ...presetConfig("tiny", 10), sampleSize: 16 },
  },
}, { name: "away", resident: false, model: { id: "away" } }];

const post = (server: Harness, path: string, body: unknown) =>
  server.ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

Deno.test("model chooses by name or id in every request for images; without it the first draws", async () => {
  const server = harness({ others: OTHERS });
  const { ask, engines } = server;
  const drawn = () => engines.map(({ added }) => added.length);
  const plain = await ask("/generate?seed=1");
  assert.equal(plain.headers.get("X-Model"), "fake-model-step-100");
  for (const name of ["small", "small-step-7"]) {
    const { model, images: [{ width }] } =
      await (await ask(`/generate?model=${name}&class=ox&seed=1&format=json`)).json();
    assert.deepEqual([model, width], ["small-step-7", 16]);
  }
  assert.deepEqual(drawn(), [1, 2, 0]);
  const stream = await (await ask("/generate/stream?model=small&class=ox&seed=1")).text();
  assert.match(stream, /event: started\ndata: \{"model":"small-step-7"/);
  const { data: [image] } = await (await post(server, "/v1/images/generations", {
    ...{ prompt: "an ox", model: "small", seed: 1, response_format: "url" },
  })).json();
  assert.match(image.url, /generate\?model=small&class=ox&seed=1&/);
  await (await post(server, "/v1/images/generations", { prompt: "an ox", model: "small" })).json();
  assert.deepEqual(drawn(), [1, 4, 0]);
  const form = new FormData();
  const png = await (await ask("/generate?model=small&class=ox")).bytes();
  form.set("image", new File([new Uint8Array(png)], "ox.png"));
  for (const [name, value] of Object.entries({ prompt: "ox", model: "small" })) form.set(name, value);
  const edited = await ask("/v1/images/edits", { method: "POST", body: form });
  assert.equal((await edited.json()).size, "16x16");
  assert.deepEqual(drawn(), [1, 6, 0]);
  // What is asked of a model that is not on the device waits until it is loaded.
  assert.equal((await ask("/generate?model=away&seed=1")).headers.get("X-Model"), "away");
  assert.deepEqual([drawn(), engines[2]!.loads], [[1, 6, 1], 1]);
});

Deno.test("a class, a size or a number of steps is allowed as the chosen model has it", async () => {
  const { ask } = harness({ others: OTHERS });
  assert.equal((await ask("/generate?class=ox")).status, 400);
  assert.match(
    (await problemOf(await ask("/generate?class=cat&model=small"))).detail,
    /^class: expected ox, beast 0/,
  );
  const { classes } = await (await ask("/classes?model=small")).json();
  assert.equal(classes[0].name, "ox");
});

Deno.test("an unknown model is answered with those that are served", async () => {
  const server = harness({ others: OTHERS });
  const { ask } = server;
  for (const path of ["/generate?model=smal", "/generate/stream?model=smal", "/classes?model=smal"]) {
    const problem = await problemOf(await ask(path));
    assert.deepEqual(problem.errors, [{
      field: "model",
      value: "smal",
      allowed: "one of fake-model, small, away",
    }]);
    assert.equal(problem.status, 400);
  }
  const answer = await post(server, "/v1/images/generations", { prompt: "a cat", model: "smal" });
  const { error } = await answer.json();
  assert.deepEqual([answer.status, error.code, error.param], [404, "model_not_found", "model"]);
  assert.match(error.message, /expected fake-model or small or away or denoise/);
});

Deno.test("models are listed with what can be asked of them, and whether they are on the device", async () => {
  const { ask, engines } = harness({ others: OTHERS });
  engines[1]!.unload();
  interface Listed {
    readonly name: string;
    readonly id: string;
    readonly on_device: boolean;
    readonly sizes: string[];
    readonly default: boolean;
  }
  const list = async (path: string, key: string): Promise<Listed[]> => (await (await ask(path)).json())[key];
  const openAi = await list("/v1/models", "data");
  assert.deepEqual(openAi.map(({ id, name, on_device, sizes: [size] }) => [id, name, on_device, size]), [
    ["fake-model-step-100", "fake-model", true, "32x32"],
    ["small-step-7", "small", false, "16x16"],
    ["away", "away", false, "32x32"],
  ]);
  assert.deepEqual(await (await ask("/v1/models/small")).json(), openAi[1]);
  const own = await list("/models", "models");
  assert.deepEqual(own.map((model) => [model.name, model.default]), [["fake-model", true], ["small", false], [
    "away",
    false,
  ]]);
});

Deno.test("the log names the model, and openapi.json all of them", async () => {
  const { ask, log } = harness({ others: OTHERS });
  await ask("/generate?model=small&class=ox");
  assert.equal(log.at(-1)!.model, "small");
  const { paths } = await (await ask("/openapi.json")).json();
  const enumOf = (name: string) =>
    paths["/generate"].get.parameters.find((one: { name: string }) => one.name === name).schema.enum;
  assert.deepEqual(enumOf("model"), ["fake-model", "small", "away"]);
  assert.ok(enumOf("class").includes("cat") && enumOf("class").includes("ox"));
});

Deno.test("a job is drawn by the model that it names, and an unknown one is refused", async () => {
  await withJobs({ others: OTHERS }, async ({ accepted, post, until, engines }) => {
    const { id, request, model } = await accepted({ count: 3, model: "small-step-7", class: "ox" });
    assert.deepEqual([request.model, model], ["small", "small-step-7"]);
    await until(id, ({ status }) => status === "done");
    assert.deepEqual(engines.map(({ added }) => added.length), [0, 3, 0]);
    assert.equal((await problemOf(await post({ model: "none" }))).errors![0]!.field, "model");
  });
});
