/** Jobs of models that cannot be loaded or read, and of images that end the engine. */
import assert from "node:assert/strict";
import { CheckpointError } from "../../../lib/errors.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { closeJobs, hasEnded, openJobs, withJobs } from "../../support/server/jobs.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

/** Two models, the second of which cannot be loaded. */
const BROKEN = { others: [{ name: "broken", resident: false, model: { id: "broken" } }] };

Deno.test("a model that cannot be loaded fails its own jobs after ten minutes, and holds up no other's", async () => {
  const clock = new FakeClock();
  await withJobs(
    { ...BROKEN, schedulerClock: clock },
    async ({ accepted, until, status, engines: [, broken] }) => {
      broken!.loadError = new CheckpointError("/models/broken: cut short");
      const { id } = await accepted({ model: "broken", count: 3, steps: 2 });
      await turns();
      assert.equal(broken!.loads, 1);
      for (let minute = 0; minute < 10; minute++) {
        const other = await accepted({ model: "fake-model", seed: minute, steps: 2 });
        assert.equal((await until(other.id, hasEnded)).status, "done");
        assert.equal((await status(id)).status, "queued", `after ${minute} minutes`);
        for (let i = 0; i < 6; i++) {
          clock.advance(10_000);
          await turns();
        }
      }
      const { status: state, problem } = await status(id);
      assert.deepEqual([state, problem], ["failed", {
        code: "model_failed",
        detail: "the model broken cannot be loaded; the server's log says why (tried for 10 minutes)",
      }]);
    },
  );
});

Deno.test("a job goes on once its model can be loaded again", async () => {
  const clock = new FakeClock();
  await withJobs({ ...BROKEN, schedulerClock: clock }, async ({ accepted, until, engines: [, broken] }) => {
    broken!.loadError = new CheckpointError("/models/broken: cut short");
    const { id } = await accepted({ model: "broken", count: 3, steps: 2 });
    for (let i = 0; i < 59; i++) {
      await turns();
      clock.advance(10_000);
    }
    broken!.loadError = undefined;
    await turns();
    clock.advance(10_000);
    assert.equal((await until(id, hasEnded)).status, "done");
  });
});

Deno.test("the jobs of a model that cannot be loaded fail together, not each after the one before", async () => {
  const clock = new FakeClock();
  await withJobs({ ...BROKEN, schedulerClock: clock }, async ({ accepted, status, engines: [, broken] }) => {
    broken!.loadError = new CheckpointError("/models/broken: cut short");
    const ids: string[] = [];
    for (let seed = 0; seed < 3; seed++) {
      ids.push((await accepted({ model: "broken", seed, count: 200, steps: 2, guidance: 1 })).id);
    }
    for (let i = 0; i < 62; i++) {
      await turns();
      clock.advance(10_000);
    }
    await turns();
    for (const id of ids) assert.equal((await status(id)).problem?.code, "model_failed");
  });
});

Deno.test("a model that was loaded in between, though no job was drawn, has ten minutes anew", async () => {
  const clock = new FakeClock();
  const others = [{ ...BROKEN.others[0]!, automatic: undefined }];
  await withJobs({ others, memory: 1, schedulerClock: clock }, async ({ accepted, status, engines, ask }) => {
    const [working, broken] = engines;
    broken!.loadError = new CheckpointError("/models/broken: cut short");
    const { id } = await accepted({ model: "broken", count: 3, steps: 2 });
    const wait = async (seconds: number) => {
      for (let second = 0; second < seconds; second += 10) {
        await turns();
        clock.advance(10_000);
      }
      await turns();
    };
    await wait(500);
    broken!.loadError = undefined;
    await wait(10);
    assert.ok(broken!.ready);
    broken!.loadError = new CheckpointError("/models/broken: cut short");
    assert.equal((await ask("/generate?model=fake-model&steps=1")).status, 200);
    assert.deepEqual([broken!.ready, working!.ready], [false, true]);
    await wait(500);
    assert.equal((await status(id)).ended, undefined);
    await wait(200);
    assert.equal((await status(id)).problem?.code, "model_failed");
  });
});

Deno.test("a job whose model cannot even be read after a restart fails after ten minutes", async () => {
  await inTemporaryDirectory(async (directory) => {
    const idle = { automatic: undefined };
    const others = BROKEN.others.map((other) => ({ ...other, ...idle }));
    const first = openJobs(directory, { engine: idle, others });
    const { id } = await first.accepted({ model: "broken", count: 3, steps: 2 });
    await closeJobs(first);
    const clock = new FakeClock();
    const unread = others.map((other) => ({ ...other, unread: true }));
    const second = openJobs(directory, { others: unread, schedulerClock: clock });
    second.engines[1]!.fault = new CheckpointError("/models/broken: no model here");
    await turns();
    clock.advance(599_999);
    await turns();
    assert.equal((await second.status(id)).ended, undefined);
    clock.advance(1);
    assert.deepEqual((await second.until(id, hasEnded)).problem, {
      code: "model_failed",
      detail: "the model broken cannot be loaded; the server's log says why (tried for 10 minutes)",
    });
    await closeJobs(second);
    assert.equal(clock.pending, 0);
  });
});

Deno.test("an image that ends the engine each time fails its job, and costs no other job an image", async () => {
  const clock = new FakeClock();
  const engine = { automatic: undefined, rows: 4 };
  await withJobs({ engine, schedulerClock: clock }, async ({ accepted, until, status, engine }) => {
    const bad = await accepted({ count: 6, seed: 600, steps: 3, guidance: 1 });
    const good: string[] = [];
    let crashes = 0;
    for (let round = 0; round < 200 && (await status(bad.id)).ended === undefined; round++) {
      if (round % 5 === 0) good.push((await accepted({ count: 5, seed: round, steps: 2, guidance: 1 })).id);
      await turns();
      if (engine.batch.some(({ seed }) => seed === 600)) {
        crashes++;
        engine.down();
        await turns();
        engine.up({});
      } else engine.tick(1);
      await turns();
      clock.advance(1000);
    }
    assert.equal(crashes, 5);
    const { status: state, problem } = await status(bad.id);
    assert.deepEqual([state, problem], ["failed", {
      code: "failed",
      detail:
        "the engine failed 5 times while it drew image 0 with the model fake-model; the server's log says why",
    }]);
    for (let round = 0; round < 100; round++) {
      engine.tick(2);
      await turns();
    }
    for (const id of good) assert.equal((await until(id, hasEnded)).status, "done");
  });
});

/** Lets pending promises and timers of no time pass. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve));
}
