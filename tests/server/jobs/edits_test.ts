/** Jobs whose images are drawn from a given picture. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { JobStore } from "../../../server/jobs/store.ts";
import { decodeEdit } from "../../../server/pictures/decoding.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { problemOf } from "../../support/server/harness.ts";
import { closeJobs, hasEnded, type JobHarness, openJobs, withJobs } from "../../support/server/jobs.ts";
import { makePng } from "../../support/synthetic.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Red and blue halves, and a mask that is transparent above. */
const picture: Bytes = new Uint8Array(await makePng(48, 32, (x) => x < 24 ? [255, 0, 0] : [0, 0, 255]));
const mask: Bytes = new Uint8Array(await makePng(48, 32, (_, y) => [0, 0, 0, y < 16 ? 0 : 255]));

/** A form with a picture, perhaps a mask, and fields. */
function form(
  fields: Record<string, string | number>,
  files: { image?: Bytes; mask?: Bytes } = { image: picture },
) {
  const body = new FormData();
  for (const [name, file] of Object.entries(files)) body.set(name, new File([file], `${name}.png`));
  for (const [name, value] of Object.entries(fields)) body.set(name, String(value));
  return body;
}

const send = ({ ask }: Pick<JobHarness, "ask">, body: FormData, headers: Record<string, string> = {}) =>
  ask("/jobs", { method: "POST", body, headers });

async function accepted(server: Pick<JobHarness, "ask">, body: FormData) {
  const answer = await send(server, body);
  assert.equal(answer.status, 202, await answer.clone().text());
  return await answer.json();
}

/** The PNG that the foreground draws. */
async function edited({ ask }: Pick<JobHarness, "ask">, body: FormData): Promise<Buffer> {
  body.set("prompt", "anything");
  const answer = await ask("/v1/images/edits", { method: "POST", body });
  const { data } = await answer.json();
  return Buffer.from(data[0].b64_json, "base64");
}

const image = async ({ ask }: Pick<JobHarness, "ask">, id: string, i: number) =>
  Buffer.from(await (await ask(`/jobs/${id}/images/${i}.png`)).bytes());

const dataUrl = (bytes: Bytes) => ({ image_url: `data:image/png;base64,${bytes.toBase64()}` });

Deno.test("images of a job with a picture are the files that /v1/images/edits gives for their seeds", async () => {
  await withJobs({}, async (server) => {
    const { engine, until } = server;
    const settings = { class: "cat", steps: 8, guidance: 2.5, sampler: "ddim", strength: 0.5 };
    const inpainting = { class: "dog", steps: 8, sampler: "ddim", resamplings: 2, jump: 3 };
    for (
      const [fields, files] of [[settings, { image: picture }], [inpainting, {
        image: picture,
        mask,
      }]] as const
    ) {
      const { id, request } = await accepted(server, form({ ...fields, count: 3, seed: 7 }, files));
      assert.equal(request.strength, "strength" in fields ? 0.5 : 1);
      assert.equal(request.mask, "mask" in files ? "50 % drawn anew" : undefined);
      assert.equal((await until(id, hasEnded)).status, "done");
      const drawn = engine.added.length;
      for (const i of [0, 1, 2]) {
        assert.deepEqual(
          await image(server, id, i),
          await edited(server, form({ ...fields, seed: 7 + i }, files)),
        );
      }
      const [job, direct] = [engine.added.slice(drawn - 3, drawn), engine.added.slice(drawn)];
      const facts = ({ seed, label, steps, sampler, guidance, edit }: typeof direct[number]) => ({
        seed,
        label,
        steps,
        sampler,
        guidance,
        edit,
      });
      const inOrder = job.map(facts).sort((a, b) => a.seed - b.seed);
      assert.deepEqual(inOrder, direct.map(facts));
      assert.ok(direct[0].edit?.image.includes(-1));
    }
  });
});

Deno.test("JSON with data URLs is the same job as a form, also for its Idempotency-Key", async () => {
  let decoded = 0;
  const decoder = {
    decode: (...job: Parameters<typeof decodeEdit>) => (decoded++, decodeEdit(...job)),
    close() {},
  };
  await withJobs({ parts: { decoder }, engine: { automatic: undefined } }, async (server) => {
    const { post, until, engine } = server;
    const fields = { count: 2, seed: 3, steps: 4, strength: 0.75 };
    const json = { ...fields, images: [dataUrl(picture)], mask: dataUrl(mask) };
    const key = { "Idempotency-Key": "k" };
    const first = await (await post(json, key)).json();
    const again = await send(server, form(fields, { image: picture, mask }), key);
    assert.equal(again.status, 200, await again.clone().text());
    assert.equal((await again.json()).id, first.id);
    for (
      const other of [form(fields), form(fields, { image: mask, mask }), form({ ...fields, strength: 0.5 })]
    ) {
      assert.equal((await problemOf(await send(server, other, key))).status, 422);
    }
    assert.ok(
      decoded <= 2,
      "pictures are decoded for the request and for drawing, and not when it is repeated",
    );
    await until(first.id, () => engine.batch.length === 2);
    engine.tick(4);
    assert.equal((await until(first.id, hasEnded)).status, "done");
  });
});

Deno.test("a wrong picture or field is refused before anything is stored", async () => {
  await withJobs({}, async (server) => {
    const { post, jobs } = server;
    const fieldsOf = async (answer: Promise<Response>) => {
      const { status, type, errors } = await problemOf(await answer);
      assert.equal(status, 400, type);
      return errors?.map(({ field }) => field);
    };
    const text: Bytes = new TextEncoder().encode("no picture");
    assert.deepEqual(await fieldsOf(send(server, form({}, { image: text }))), ["image"]);
    assert.deepEqual(await fieldsOf(send(server, form({}, { image: picture, mask: text }))), ["mask"]);
    assert.deepEqual(await fieldsOf(send(server, form({}, {}))), ["image"]);
    assert.deepEqual(await fieldsOf(send(server, form({ strength: 2 }))), ["strength"]);
    assert.deepEqual(await fieldsOf(send(server, form({ resamplings: 3 }))), ["resamplings"]);
    assert.deepEqual(await fieldsOf(send(server, form({ strenght: 0.5 }))), ["strenght"]);
    assert.deepEqual(await fieldsOf(post({ strength: 0.5, jump: 2 })), ["strength", "jump"]);
    assert.deepEqual(await fieldsOf(post({ mask: dataUrl(mask) })), ["mask"]);
    assert.deepEqual(await fieldsOf(post({ images: [] })), ["images"]);
    const other = await server.ask("/jobs", {
      method: "POST",
      body: "x",
      headers: { "Content-Type": "image/png" },
    });
    assert.equal((await problemOf(other)).status, 415);
    assert.deepEqual(jobs.store.list(undefined, 10), []);
  });
});

Deno.test("a form's webhook is JSON", async () => {
  await withJobs({ settings: { webhookHosts: ["hooks.example.org"] } }, async (server) => {
    const url = "https://hooks.example.org/a";
    const { webhook } = await accepted(server, form({ steps: 1, webhook: JSON.stringify({ url }) }));
    assert.equal(webhook.url, url);
    const { errors } = await problemOf(await send(server, form({ webhook: url })));
    assert.equal(errors![0].field, "webhook");
  });
});

Deno.test("pictures are kept until their job ends, count as storage until then, and go with it", async () => {
  await withJobs({ engine: { automatic: undefined, rows: 2 } }, async (server) => {
    const { jobs: { store }, until, ask, engine, context } = server;
    const bytes = picture.length + mask.length;
    const first = await accepted(server, form({ count: 1, steps: 1 }, { image: picture, mask }));
    const second = await accepted(server, form({ count: 1, steps: 1, seed: 9 }));
    const stored = store.get(first.id)!;
    assert.deepEqual([stored.bytes, store.bytes()], [bytes, bytes + picture.length]);
    assert.deepEqual(store.pictures(stored), { image: picture, mask });
    const text = await (await ask("/metrics")).text();
    assert.match(text, new RegExp(`^denoise_job_storage_bytes ${bytes + picture.length}$`, "m"));
    await ask(`/jobs/${second.id}`, { method: "DELETE" });
    assert.equal(store.bytes(), bytes, "a cancelled job keeps none");
    assert.equal(store.pictures(store.get(second.id)!), undefined);
    while (context.runner.state.images === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    engine.tick();
    assert.equal((await until(first.id, hasEnded)).status, "done");
    assert.equal(store.pictures(stored), undefined);
    assert.equal(store.bytes(), (await image(server, first.id, 0)).length);
  });
});

Deno.test("a picture beyond --max-upload is refused, and one that finds no room among the jobs", async () => {
  const large: Bytes = new Uint8Array(2 ** 20);
  large.set(picture); // what follows the end of a PNG is ignored
  await withJobs(
    { engine: { automatic: undefined }, settings: { maxUpload: 1, jobStorage: 1 } },
    async (server) => {
      assert.equal((await problemOf(await send(server, form({}, { image: large })))).status, 413);
      await accepted(server, form({ steps: 1 }, { image: large.subarray(0, 600_000) }));
      const full = await send(server, form({ steps: 1 }, { image: large.subarray(0, 600_000) }));
      assert.ok(full.headers.has("Retry-After"));
      const problem = await problemOf(full);
      assert.deepEqual([problem.status, problem.type], [503, "urn:denoise:problem:storage_full"]);
      await accepted(server, form({ steps: 1 }));
    },
  );
});

Deno.test("a job goes on in the next process from the same picture, decoded once for all its images", async () => {
  await inTemporaryDirectory(async (directory) => {
    const fields = { seed: 40, steps: 6, class: "2", strength: 0.5 };
    const first = openJobs(directory, { engine: { automatic: 1, rows: 4 } });
    const { id } = await accepted(first, form({ ...fields, count: 30 }, { image: picture, mask }));
    await first.until(id, ({ images }) => images.done >= 5);
    await closeJobs(first);
    let decoded = 0;
    const decoder = {
      decode: (job: Parameters<typeof decodeEdit>[0]) => {
        decoded++;
        return decodeEdit(job);
      },
      close() {},
    };
    const second = openJobs(directory, { engine: { automatic: 0, rows: 4 }, parts: { decoder } });
    assert.equal((await second.until(id, hasEnded)).status, "done");
    assert.equal(decoded, 1);
    for (const i of [0, 4, 5, 29]) {
      const direct = await edited(second, form({ ...fields, seed: 40 + i }, { image: picture, mask }));
      assert.deepEqual(await image(second, id, i), direct, `image ${i}`);
    }
    await closeJobs(second);
  });
});

Deno.test("a job that is not begun gets its picture in the size of the model that comes", async () => {
  await inTemporaryDirectory(async (directory) => {
    const first = openJobs(directory, { engine: { automatic: undefined } });
    const { id } = await accepted(first, form({ steps: 2 }));
    await closeJobs(first);
    const { config } = first.engine.model!;
    const small = { id: "small", height: 16, width: 16, config: { ...config, sampleSize: 16 } };
    const second = openJobs(directory, { engine: { automatic: 0, model: small } });
    const ended = await second.until(id, hasEnded);
    assert.deepEqual([ended.status, ended.model], ["done", "small"]);
    assert.equal(second.engine.added[0].edit?.image.length, 16 * 16 * 3);
    await closeJobs(second);
  });
});

Deno.test("a decoder that fails is asked again, three times, and then its job fails, and no other", async () => {
  const clock = new FakeClock();
  let fails = (_: number) => false;
  let calls = 0;
  const decoder = {
    decode: (job: Parameters<typeof decodeEdit>[0]) =>
      fails(++calls) ? Promise.reject(new Error("the decoder's worker has failed")) : decodeEdit(job),
    close() {},
  };
  await withJobs({ parts: { decoder }, schedulerClock: clock }, async (server) => {
    const { until, accepted: acceptedJson } = server;
    const retry = async (call: number) => {
      while (calls < call) await new Promise((resolve) => setTimeout(resolve, 1));
      await new Promise((resolve) => setTimeout(resolve, 5));
      clock.advance(5000);
    };
    fails = (call) => call === 2; // the first is that of the request
    const good = await accepted(server, form({ steps: 2 }));
    await retry(2);
    assert.equal((await until(good.id, hasEnded)).status, "done");
    assert.equal(calls, 3);

    fails = (call) => call > 4;
    const bad = await accepted(server, form({ steps: 2 }));
    for (const call of [5, 6, 7]) await retry(call);
    const { status, problem } = await until(bad.id, hasEnded);
    assert.deepEqual([status, problem!.code], ["failed", "failed"]);
    const other = await acceptedJson({ steps: 2 });
    assert.equal((await until(other.id, hasEnded)).status, "done");

    fails = () => true;
    assert.equal((await problemOf(await send(server, form({ steps: 2 })))).status, 500);
  });
});

Deno.test("a database of version 1 is brought to the present one, with its jobs", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "jobs.db");
    const request = { class: "cat", seed: 1, scale: 1, steps: 2, sampler: "ddim" } as const;
    const before = new JobStore(path);
    const { id } = before.add({
      client: "192.0.2.1",
      requestDigest: "",
      request,
      count: 2,
      model: "m",
      created: 0,
    });
    before.close();
    const old = new DatabaseSync(path);
    old.exec("DROP TRIGGER pictures_of_ended_jobs; DROP TABLE pictures; PRAGMA user_version = 1");
    old.close();
    const server = openJobs(directory);
    assert.equal((await server.until(id, hasEnded)).status, "done");
    const next = await accepted(server, form({ steps: 1 }));
    assert.equal((await server.until(next.id, hasEnded)).status, "done");
    await closeJobs(server);
    const now = new DatabaseSync(path);
    assert.deepEqual({ ...now.prepare("PRAGMA user_version").get()! }, { user_version: 2 });
    now.close();
  });
});
