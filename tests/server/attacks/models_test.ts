/** Jobs, edits and requests of models that take turns on the device, one of them damaged, while the process is killed. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import fc from "fast-check";
import type { JobAnswer } from "../../../server/jobs/answers.ts";
import { changedPipeline, PIPELINE, WEIGHTS } from "../../support/server/pipelines.ts";
import { askUntil, type Running, withServer } from "../../support/server/process.ts";
import { makePng } from "../../support/synthetic.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

const picture = new File([new Uint8Array(await makePng(8, 8, (x) => [30 * x, 0, 99]))], "image.png");
const SETTINGS = { class: "1", steps: 6, guidance: 1 };
/** Images of each job. */
const COUNT = 30;

interface Sent {
  readonly id: string;
  readonly model: string;
  readonly seed: number;
  readonly edit: boolean;
}

const model = fc.constantFrom("one", "two", "two", "damaged");
const event = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant("job" as const), model, edit: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ type: fc.constant("request" as const), model, gone: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("cancel" as const), which: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("wait" as const), milliseconds: fc.nat(300) }) },
);

function form(fields: Record<string, string | number>): FormData {
  const body = new FormData();
  body.set("image", picture);
  for (const [name, value] of Object.entries({ ...SETTINGS, strength: 0.5, ...fields })) {
    body.set(name, String(value));
  }
  return body;
}

async function sendJob({ url }: Running, { model, seed, edit }: Omit<Sent, "id">): Promise<Response> {
  const fields = { model, seed, count: COUNT };
  if (edit) return await fetch(`${url}/jobs`, { method: "POST", body: form(fields) });
  const headers = { "Content-Type": "application/json" };
  return await fetch(`${url}/jobs`, {
    method: "POST",
    headers,
    body: JSON.stringify({ ...SETTINGS, ...fields }),
  });
}

const query = (seed: number) => `class=1&steps=6&guidance=1&format=png&seed=${seed}`;

/** The image of a seed as a server draws it that has nothing else to do. */
async function drawn({ url }: Running, { model, seed, edit }: Omit<Sent, "id">): Promise<Buffer> {
  if (!edit) return Buffer.from(await (await fetch(`${url}/generate?${query(seed)}&model=${model}`)).bytes());
  const body = form({ model, seed, prompt: "anything" });
  const { data } = await (await fetch(`${url}/v1/images/edits`, { method: "POST", body })).json();
  return Buffer.from(data[0].b64_json, "base64");
}

async function jobOf({ url }: Running, id: string): Promise<JobAnswer> {
  return await (await fetch(`${url}/jobs/${id}`)).json();
}

Deno.test("jobs of models that take turns end with the images of a calm server, though the process is killed", async () => {
  await inTemporaryDirectory(async (directory) => {
    const paths = { two: join(directory, "two"), damaged: join(directory, "damaged") };
    for (const path of Object.values(paths)) {
      await changedPipeline(path, (name, data) => name === "conv_out.bias" && data.fill(0.5));
    }
    const models = [
      { name: "one", path: PIPELINE },
      ...Object.entries(paths).map(([name, path]) => ({ name, path })),
    ];
    // Each takes 0.6 MiB.
    const settings = { models, memory: 1, jobs: join(directory, "jobs.db"), maxBatch: 4 };
    const sent: Sent[] = [];
    const lives = [14, 10, 8].map((numRuns, life) => fc.sample(event, { seed: 13 + life, numRuns }));
    for (const [life, events] of lives.entries()) {
      await withServer(settings, async (server) => {
        await askUntil(
          `${server.url}/v1/models`,
          (_, body) => JSON.parse(body).data.length >= (life === 0 ? 3 : 2),
        );
        if (life === 0) await Deno.truncate(join(paths.damaged, WEIGHTS), 5000);
        const answers: Promise<void>[] = [];
        for (const event of events) {
          if (event.type === "job") {
            const fields = { model: event.model, seed: 100 * sent.length, edit: event.edit };
            const answer = await sendJob(server, fields);
            if (answer.status === 202) sent.push({ ...fields, id: (await answer.json()).id });
            else assert.match(await answer.text(), /too_many_jobs|jobs_full|model_failed/);
          } else if (event.type === "request") {
            const signal = event.gone ? AbortSignal.timeout(20) : undefined;
            answers.push(
              fetch(`${server.url}/generate?${query(answers.length)}&model=${event.model}`, { signal }).then(
                async (answer) => {
                  await answer.body?.cancel();
                  assert.ok([200, 429, 503].includes(answer.status));
                },
                () => {}, // the process was killed, or the client has gone
              ),
            );
          } else if (event.type === "cancel" && sent[event.which]) {
            await (await fetch(`${server.url}/jobs/${sent[event.which]!.id}`, { method: "DELETE" })).body
              ?.cancel();
          } else if (event.type === "wait") {
            await new Promise((resolve) => setTimeout(resolve, event.milliseconds));
          }
        }
        server.child.kill(life === 1 ? "SIGTERM" : "SIGKILL");
        await Promise.all(answers);
      });
    }
    await changedPipeline(paths.damaged, (name, data) => name === "conv_out.bias" && data.fill(0.5)); // mended
    await withServer(settings, async (server) => {
      for (const job of sent) {
        const { id, seed } = job;
        await askUntil(`${server.url}/jobs/${id}`, (_, body) => JSON.parse(body).ended !== undefined);
        const { status, images, problem } = await jobOf(server, id);
        assert.ok(status === "done" && images.done === COUNT || status === "cancelled", `${problem?.detail}`);
        for (const i of [0, 1, 7, COUNT - 1]) {
          const answer = await fetch(`${server.url}/jobs/${id}/images/${i}.png`);
          const image = Buffer.from(await answer.bytes());
          if (status === "cancelled" && answer.status === 404) continue;
          const direct = await drawn(server, { ...job, seed: seed + i });
          assert.ok(image.equals(direct), `image ${i} of ${JSON.stringify(job)}`);
        }
      }
      assert.ok(sent.length >= 4, `${sent.length} jobs`);
    });
  }, { onDisk: true });
});
