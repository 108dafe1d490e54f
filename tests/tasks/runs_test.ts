import assert from "node:assert/strict";
import { join } from "node:path";
import { exists } from "../../lib/files/durable.ts";
import { discardEmptyRun, findModel, makeRunDirectory, newestRun, runToResume } from "../../tasks/runs.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

async function inside(body: () => Promise<void>): Promise<void> {
  const before = Deno.cwd();
  await inTemporaryDirectory(async (directory) => {
    Deno.chdir(directory);
    try {
      await body();
    } finally {
      Deno.chdir(before);
    }
  });
}

Deno.test("a new run has the day's next number, and of several that ask at once each its own", async () => {
  await inside(async () => {
    const day = new Date("2026-11-22T12:00:00Z");
    assert.equal(await makeRunDirectory(day), join("runs", "2026-11-22-1"));
    await Deno.writeTextFile("runs/2026-11-22-2", "a file is in the way, too");
    const together = await Promise.all([1, 2, 3].map(() => makeRunDirectory(day)));
    assert.deepEqual(together.sort(), [3, 4, 5].map((n) => join("runs", `2026-11-22-${n}`)));
    assert.equal(await makeRunDirectory(new Date("2026-11-23T12:00:00Z")), join("runs", "2026-11-23-1"));
  });
});

Deno.test("the error names a directory in which no run can be made", async () => {
  await inside(async () => {
    await Deno.writeTextFile("runs", "no directory");
    await assert.rejects(makeRunDirectory(), /^CheckpointError: cannot create runs: /);
  });
});

Deno.test("a run in which nothing was written leaves nothing; one in which there is something stays", async () => {
  await inside(async () => {
    const [first, second] = [await makeRunDirectory(), await makeRunDirectory()];
    await Deno.writeTextFile(join(first, "metrics.jsonl"), "");
    for (const path of [first, second]) await discardEmptyRun(path);
    assert.deepEqual([...Deno.readDirSync("runs")].map(({ name }) => join("runs", name)), [first]);
    await Deno.remove(join(first, "metrics.jsonl"));
    await discardEmptyRun(first);
    assert.deepEqual([...Deno.readDirSync(".")], []);
  });
});

Deno.test("the newest run is that of the newest checkpoint; runs without one do not count", async () => {
  await inside(async () => {
    assert.equal(await newestRun(), undefined);
    await Deno.mkdir("runs/empty", { recursive: true });
    assert.equal(await newestRun(), undefined);
    await assert.rejects(
      runToResume(),
      /^CheckpointError: --resume: no run with a checkpoint in runs\/; train one with `deno task train`, or name one/,
    );
    for (const [name, step, time] of [["a", 9, 3], ["b", 2, 5], ["c", 7, 4]] as const) {
      const checkpoint = join("runs", name, "checkpoints", `step-0000000${step}`);
      await Deno.mkdir(checkpoint, { recursive: true });
      await Deno.utime(checkpoint, time, time);
    }
    assert.equal(await newestRun(), join("runs", "b"));
    assert.equal(await runToResume(), join("runs", "b"));
  });
});

Deno.test("the newest run is what draws, else the shipped model, else an error says how to get one", async () => {
  await inside(async () => {
    const own = async (name: string) => name === "cifar10-tiny" && await exists(name) ? name : undefined;
    await assert.rejects(findModel(own), {
      name: "CheckpointError",
      message:
        "no model: there is none in runs/; train one with `deno task train`, or choose one with --model DIR",
    });
    await Deno.mkdir("cifar10-tiny");
    assert.equal(await findModel(own), "cifar10-tiny");
    await Deno.mkdir("runs/a/checkpoints/step-00000009", { recursive: true });
    assert.equal(await findModel(own), join("runs", "a"));
  });
});
