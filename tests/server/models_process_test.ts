/** Several models in one server process. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { JobAnswer } from "../../server/jobs/answers.ts";
import { changedPipeline, PIPELINE, WEIGHTS } from "../support/server/pipelines.ts";
import { askUntil, type Running, withServer } from "../support/server/process.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** The tiny pipeline, and a copy that draws other images. */
async function twoModels(directory: string) {
  const other = join(directory, "other");
  await changedPipeline(other, (name, data) => name === "conv_out.bias" && data.fill(0.5));
  return [{ name: "one", path: PIPELINE }, { name: "two", path: other }];
}

async function draw({ url }: Pick<Running, "url">, query: string): Promise<string> {
  const answer = await fetch(`${url}/generate?${query}`);
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await answer.bytes()).toBase64();
}

interface Listed {
  readonly name: string;
  readonly on_device: boolean;
}

/** Names of the models on the device. */
async function onDevice({ url }: Pick<Running, "url">): Promise<string[]> {
  const { data } = await (await fetch(`${url}/v1/models`)).json() as { data: Listed[] };
  return data.filter(({ on_device }) => on_device).map(({ name }) => name);
}

/** Waits until the listed models are as wanted. */
async function modelsUntil({ url }: Running, wanted: (models: Listed[]) => boolean): Promise<void> {
  await askUntil(`${url}/v1/models`, (_, body) => wanted(JSON.parse(body).data));
}

const REQUEST = "class=1&seed=7&steps=9&guidance=2&format=png";

Deno.test("images have the bytes of a server with their model alone: beside another, and after it had to make way", async () => {
  await inTemporaryDirectory(async (directory) => {
    const models = await twoModels(directory);
    const alone: string[] = [];
    for (const model of models) {
      await withServer({ models: [model] }, async (server) => void alone.push(await draw(server, REQUEST)));
    }
    assert.notEqual(alone[0], alone[1]);
    // Each takes 0.6 MiB.
    for (const [memory, together] of [[undefined, true], [1, false]] as const) {
      await withServer({ models, memory }, async (server) => {
        await modelsUntil(
          server,
          (listed) => listed.filter((one) => !together || one.on_device).length === 2,
        );
        for (let round = 0; round < 2; round++) {
          for (const [i, { name }] of models.entries()) {
            assert.equal(await draw(server, `${REQUEST}&model=${name}`), alone[i], `${name}, round ${round}`);
            assert.deepEqual(await onDevice(server), together ? ["one", "two"] : [name]);
          }
        }
        assert.equal(await draw(server, REQUEST), alone[0], "the first is the default");
        const both = await Promise.all(models.map(({ name }) => draw(server, `${REQUEST}&model=${name}`)));
        assert.deepEqual(both, alone, "at the same time");
        const metrics = await (await fetch(`${server.url}/metrics`)).text();
        assert.equal(/model_evictions_total\{model="one"\} 0$/m.test(metrics), together);
      });
    }
  });
});

Deno.test("a model that cannot be read, or not any more, answers with a problem, and the others go on", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [one, two] = await twoModels(directory);
    const models = [one!, { name: "none", path: join(directory, "none") }, two!];
    await withServer({ models, memory: 1 }, async (server) => {
      await server.logged("a model cannot be read; it is tried again");
      await draw(server, `${REQUEST}&model=two`);
      await draw(server, `${REQUEST}&model=one`);
      const none = await fetch(`${server.url}/generate?model=none`);
      const problem = await none.json();
      assert.deepEqual([none.status, problem.type], [503, "urn:denoise:problem:model_failed"]);
      assert.equal(problem.detail, "the model none cannot be loaded; the server's log says why");
      await Deno.truncate(join(two!.path, WEIGHTS), 5000);
      assert.equal((await fetch(`${server.url}/generate?model=two`)).status, 503);
      const line = await server.logged("a model cannot be loaded");
      assert.match(`${line.model} ${line.error}`, /^two CheckpointError: .*safetensors/);
      await draw(server, REQUEST);
      const unknown = await fetch(`${server.url}/generate?model=three`);
      assert.match((await unknown.json()).detail, /^model: expected one of one, none, two, got "three"$/);
    });
  });
});

Deno.test("a job is drawn by the model that it names, also by another process, and fails where that is not served", async () => {
  await inTemporaryDirectory(async (directory) => {
    const models = await twoModels(directory);
    const settings = { models, jobs: join(directory, "jobs.db"), maxBatch: 4 };
    const ids: string[] = [];
    let expected = "";
    await withServer(settings, async (server) => {
      await modelsUntil(server, ({ length }) => length === 2);
      expected = await draw(server, "class=1&seed=40&steps=12&format=png&model=two");
      for (const count of [60, 5000]) {
        const answer = await fetch(`${server.url}/jobs`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ count, seed: 40, steps: 12, class: "1", model: "two" }),
        });
        assert.equal(answer.status, 202, await answer.clone().text());
        const { id, model, request } = await answer.json() as JobAnswer;
        assert.deepEqual([model, request.model], ["two", "two"]);
        ids.push(id);
      }
      server.child.kill("SIGKILL");
    });
    const ended = async (server: Running, id: string) => {
      let job: JobAnswer | undefined;
      await askUntil(`${server.url}/jobs/${id}`, (_, body) => {
        job = JSON.parse(body);
        return job!.ended !== undefined;
      });
      return job!;
    };
    await withServer({ ...settings, models: models.toReversed() }, async (server) => {
      assert.equal((await ended(server, ids[0]!)).status, "done");
      const png = await (await fetch(`${server.url}/jobs/${ids[0]}/images/0.png`)).bytes();
      assert.equal(png.toBase64(), expected);
      server.child.kill("SIGKILL");
    });
    await withServer({ ...settings, models: models.slice(0, 1) }, async (server) => {
      const { status, problem } = await ended(server, ids[1]!);
      assert.deepEqual([status, problem], [
        "failed",
        { code: "model_gone", detail: "the model two is not served any more; served are one" },
      ]);
    });
  }, { onDisk: true });
});
