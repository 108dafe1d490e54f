import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";
import { newestRun, newRunDirectory } from "../../tasks/runs.ts";
import { inTemporaryDirectory } from "../train/directories.ts";

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

Deno.test("a new run has the day's next number, and is not made yet", async () => {
  await inside(async () => {
    const day = new Date("2026-11-22T12:00:00Z");
    assert.equal(await newRunDirectory(day), "runs/2026-11-22-1");
    assert.equal(await newRunDirectory(day), "runs/2026-11-22-1");
    await Deno.mkdir("runs/2026-11-22-1", { recursive: true });
    await Deno.writeTextFile("runs/2026-11-22-2", "a file is in the way, too");
    assert.equal(await newRunDirectory(day), "runs/2026-11-22-3");
    assert.equal(await newRunDirectory(new Date("2026-11-23T12:00:00Z")), "runs/2026-11-23-1");
  });
});

Deno.test("the newest run is that of the newest checkpoint; runs without one do not count", async () => {
  await inside(async () => {
    await assert.rejects(newestRun(), ConfigError);
    await Deno.mkdir("runs/empty", { recursive: true });
    await assert.rejects(newestRun(), /none is there yet/);
    for (const [name, step, time] of [["a", 9, 3], ["b", 2, 5], ["c", 7, 4]] as const) {
      const checkpoint = join("runs", name, "checkpoints", `step-0000000${step}`);
      await Deno.mkdir(checkpoint, { recursive: true });
      await Deno.utime(checkpoint, time, time);
    }
    assert.equal(await newestRun(), "runs/b");
  });
});
