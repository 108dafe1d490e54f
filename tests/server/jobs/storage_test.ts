import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { problemOf } from "../../support/server/harness.ts";
import { closeJobs, hasEnded, openJobs, withJobs } from "../../support/server/jobs.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

const HOUR = 3_600_000;

Deno.test("jobs are deleted with their images when their time after the end is over", async () => {
  await inTemporaryDirectory(async (directory) => {
    const clock = new FakeClock();
    let time = Date.UTC(2026, 0, 1);
    const options = { schedulerClock: clock, now: () => time, settings: { keepJobs: 2 } };
    const opened = openJobs(directory, options);
    const { accepted, until, ask, post } = opened;
    const { id } = await accepted({ count: 700, steps: 1 }, { "Idempotency-Key": "k" });
    const { ended, expires } = await until(id, hasEnded);
    assert.equal(Date.parse(expires!) - Date.parse(ended!), 2 * HOUR);
    time += 2 * HOUR - 1;
    clock.advance(60_000);
    assert.equal((await ask(`/jobs/${id}`)).status, 200);
    time += 2;
    const running = await accepted({ count: 1, seed: 3, steps: 1 });
    await until(running.id, hasEnded);
    clock.advance(60_000);
    const gone = await problemOf(await ask(`/jobs/${id}`));
    assert.deepEqual([gone.status, gone.detail], [404, "no such job; ended ones are kept for 2 hours"]);
    assert.equal((await ask(`/jobs/${id}/images/0.png`)).status, 404);
    assert.equal((await ask(`/jobs/${running.id}`)).status, 200);
    assert.equal((await post({ count: 1 }, { "Idempotency-Key": "k" })).status, 202, "its key is free");
    for (let i = 0; i < 5; i++) clock.advance(1);
    await closeJobs(opened);
    const db = new DatabaseSync(join(directory, "jobs.db"));
    const { count } = db.prepare("SELECT count(*) AS count FROM images").get()!;
    const { page_count: pages } = db.prepare("PRAGMA page_count").get() as { page_count: number };
    db.close();
    assert.ok(Number(count) <= 2, `${count} images are left`);
    assert.ok(pages < 50, `${pages} pages are left of a file that had 700 images`);
  });
});

Deno.test("where storage is short, the job that ended first makes room; a job beyond it fails", async () => {
  await withJobs({ settings: { jobStorage: 1 } }, async ({ accepted, until, ask, context, jobs }) => {
    const first = await accepted({ count: 200, steps: 1, seed: 1 });
    await until(first.id, hasEnded);
    const second = await accepted({ count: 200, steps: 1, seed: 1000 });
    assert.equal((await until(second.id, hasEnded)).status, "done");
    assert.equal((await ask(`/jobs/${first.id}`)).status, 404);
    const third = await accepted({ count: 900, steps: 1, seed: 2000 });
    const failed = await until(third.id, hasEnded);
    assert.deepEqual([failed.status, failed.problem!.code], ["failed", "storage_full"]);
    assert.match(failed.problem!.detail, /may take 1 MiB/);
    assert.equal((await ask(`/jobs/${third.id}/images/0.png`)).status, 200, "what is drawn stays");
    assert.ok(jobs.store.bytes() <= context.settings.jobStorage * 2 ** 20);
  });
});

Deno.test("a full disk makes jobs wait and refuses new ones; when there is space again, nothing is lost", async () => {
  const clock = new FakeClock();
  await withJobs({ schedulerClock: clock, engine: { rows: 4 } }, async (opened) => {
    const { accepted, until, status, post, ask, jobs, engine, log } = opened;
    const { store } = jobs;
    const full = (): never => {
      throw new Error("database or disk is full");
    };
    const { addImage, add } = store;
    Object.assign(store, { addImage: full, add: full });
    const { store: { add: addNow } } = { store: { add: add.bind(store) } };
    store.add = addNow;
    const { id } = await accepted({ count: 20, steps: 1, guidance: 1 });
    store.add = full;
    const waiting = await until(id, (job) => job.waiting !== undefined);
    assert.equal(waiting.waiting, "the images cannot be stored: database or disk is full");
    const refused = await problemOf(await post({ count: 1 }));
    assert.deepEqual([refused.status, refused.type, refused.retryAfter], [
      503,
      "urn:denoise:problem:storage_failed",
      60,
    ]);
    assert.equal((await ask("/generate?steps=1")).status, 200, "other requests are served");
    assert.ok(engine.added.length <= 4 + 2, "no more is drawn than waits for the disk");
    assert.match(await (await ask("/metrics")).text(), /denoise_job_storage_failures_total [1-9]/);
    assert.equal(log.filter(({ message }) => message === "jobs cannot be stored; trying again").length, 1);
    store.addImage = addImage.bind(store);
    clock.advance(120_000);
    const ended = await until(id, hasEnded);
    assert.deepEqual([ended.status, ended.images.done, (await status(id)).waiting], ["done", 20, undefined]);
    assert.equal(
      new Set(engine.added.map(({ seed }) => seed)).size,
      engine.added.length,
      "none is drawn twice",
    );
  });
});
