import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { JobStore } from "../../../server/jobs/store.ts";
import { DatabaseSync } from "node:sqlite";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { closeJobs, hasEnded, openJobs, withJobs } from "../../support/server/jobs.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

Deno.test("a job goes on in the next process with the images that are missing, each drawn and stored once", async () => {
  await inTemporaryDirectory(async (directory) => {
    const first = openJobs(directory, { engine: { automatic: 1, rows: 4 } });
    const { id } = await first.accepted({ count: 40, seed: 100, steps: 3, guidance: 1 });
    const { images: { done } } = await first.until(id, ({ images }) => images.done >= 7);
    await closeJobs(first);

    const second = openJobs(directory, {
      engine: { automatic: 0, rows: 4 },
      settings: { steps: 9, guidance: 5 },
    });
    const ended = await second.until(id, hasEnded);
    assert.deepEqual([ended.status, ended.images], ["done", { done: 40, total: 40 }]);
    const seeds = second.engine.added.map(({ seed }) => seed);
    assert.equal(new Set(seeds).size, seeds.length);
    assert.ok(seeds.length <= 40 - done + 1, "one image is drawn again, to see that it is the same model");
    for (let i = 0; i < 40; i++) {
      const image = await (await second.ask(`/jobs/${id}/images/${i}.png`)).bytes();
      const direct = await second.ask(`/generate?seed=${100 + i}&steps=3&guidance=1&format=png`);
      assert.deepEqual(Buffer.from(image), Buffer.from(await direct.bytes()), `image ${i}`);
    }
    await closeJobs(second);
  });
});

Deno.test("a job that another model began fails with the reason, and keeps its images", async () => {
  await inTemporaryDirectory(async (directory) => {
    const first = openJobs(directory, { engine: { automatic: 1, rows: 2 } });
    const { id } = await first.accepted({ count: 500, class: "cat", steps: 3, guidance: 1 });
    await first.until(id, ({ images }) => images.done >= 3);
    await closeJobs(first);
    // 16 x 16 in place of 32 x 32: other pixels, as of other weights
    const second = openJobs(directory, { engine: { model: { height: 16, width: 16, id: "other" } } });
    const failed = await second.until(id, hasEnded);
    assert.deepEqual([failed.status, failed.problem!.code], ["failed", "model_changed"]);
    assert.match(failed.problem!.detail, /fake-model-step-100 then, other now/);
    assert.ok(failed.images.done >= 3);
    assert.equal((await second.ask(`/jobs/${id}/images/0.png`)).status, 200);
    await closeJobs(second);
  });
});

Deno.test("a job that is not begun is drawn by the model that comes", async () => {
  await inTemporaryDirectory(async (directory) => {
    const first = openJobs(directory, { engine: { automatic: undefined } });
    const { id } = await first.accepted({ count: 3, steps: 2 });
    await closeJobs(first);
    const second = openJobs(directory, { engine: { model: { id: "other" } } });
    const ended = await second.until(id, hasEnded);
    assert.deepEqual([ended.status, ended.model], ["done", "other"]);
    await closeJobs(second);
  });
});

Deno.test("an engine that goes down and comes back costs no image", async () => {
  await withJobs({ engine: { automatic: 1, rows: 4 } }, async ({ accepted, until, engine, status }) => {
    const { id } = await accepted({ count: 30, steps: 3, guidance: 1 });
    await until(id, ({ images }) => images.done >= 5);
    engine.down();
    assert.match((await status(id)).waiting!, /restarting/);
    engine.up({ loadedAt: 1 });
    const ended = await until(id, hasEnded);
    assert.deepEqual([ended.status, ended.images.done], ["done", 30]);
  });
});

Deno.test("a reload of the same weights goes on, one of others fails the job", async () => {
  await withJobs({ engine: { automatic: 1, rows: 4 } }, async ({ accepted, until, engine }) => {
    const { id } = await accepted({ count: 60, steps: 3, guidance: 1 });
    await until(id, ({ images }) => images.done >= 5);
    engine.up({ loadedAt: 1 });
    await until(id, ({ images }) => images.done >= 20);
    engine.up({ loadedAt: 2, height: 16, width: 16 });
    const ended = await until(id, hasEnded);
    assert.deepEqual([ended.status, ended.problem?.code], ["failed", "model_changed"]);
  });
});

Deno.test("an image that cannot be drawn fails its job after three attempts, and no other job", async () => {
  const clock = new FakeClock();
  const options = { engine: { automatic: undefined, rows: 4 }, schedulerClock: clock };
  await withJobs(options, async ({ accepted, until, engine, status }) => {
    const bad = await accepted({ count: 2, seed: 5, steps: 2, guidance: 1 });
    const good = await accepted({ count: 1, seed: 50, steps: 1, guidance: 1 });
    for (let attempt = 1; attempt <= 3; attempt++) {
      await until(bad.id, () => engine.batch.some(({ seed }) => seed === 5));
      assert.equal((await status(bad.id)).status, "running", `before attempt ${attempt} fails`);
      engine.fail(new Error("values that are not finite"), engine.batch.find(({ seed }) => seed === 5)!.id);
      await new Promise((resolve) => setTimeout(resolve, 5));
      clock.advance(5000);
    }
    const { status: state, problem } = await until(bad.id, hasEnded);
    assert.deepEqual([state, problem!.code], ["failed", "failed"]);
    assert.match(problem!.detail, /image 0 could not be drawn in 3 attempts/);
    engine.tick(2);
    assert.equal((await until(good.id, hasEnded)).status, "done");
  });
});

Deno.test("a database that cannot be used is refused with the reason", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = (name: string) => join(directory, name);
    const held = new JobStore(path("held.db"));
    assert.equal((await Deno.stat(path("held.db"))).mode! & 0o777, 0o600, "it has secrets");
    await Deno.writeTextFile(path("text"), "no database\n".repeat(1000));
    const other = new DatabaseSync(path("other.db"));
    other.exec("CREATE TABLE accounts (name TEXT)");
    other.close();
    new JobStore(path("newer.db")).close();
    const newer = new DatabaseSync(path("newer.db"));
    newer.exec("PRAGMA user_version = 99");
    newer.close();
    const damaged = new JobStore(path("damaged.db"));
    damaged.add({ client: "a", requestDigest: "", request: request(), count: 1, model: "m", created: 0 });
    damaged.close();
    const bytes = await Deno.readFile(path("damaged.db"));
    await Deno.writeFile(path("damaged.db"), bytes.fill(0xff, 4096, bytes.length - 100));
    const cases: [string, RegExp][] = [
      ["held.db", /expected a file that no other server uses/],
      ["text", /expected an undamaged SQLite database \(file is not a database\)/],
      ["other.db", /expected a new file, or one that this option has made/],
      ["newer.db", /expected a file of version 1 to 2 \(it has version 99, of a newer release/],
      ["damaged.db", /expected an undamaged/],
      ["none/jobs.db", /expected a file that can be read and written, in a folder that exists/],
    ];
    for (const [name, message] of cases) {
      assert.throws(() => new JobStore(path(name)), { name: "ConfigError", message }, name);
    }
    held.close();
    new JobStore(path("held.db")).close();
  });
});

function request() {
  return { class: "any", seed: 1, scale: 1, steps: 2, sampler: "ddim" } as const;
}
