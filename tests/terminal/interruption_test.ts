/** Interruptions of `deno task train` from outside, and what is saved then. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { listCheckpoints, loadLatestCheckpoint } from "../../lib/files/checkpoint.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { makeMaterial, startTask, taskCommand, TRAINING } from "../support/command.ts";
import { until } from "../support/until.ts";

/** 540 training images: with a batch of 1, an epoch is not over before a signal is heard. */
const LONG_EPOCH = 300;
const LONG: readonly string[] = [
  ...TRAINING.slice(0, 4),
  "--batch",
  "1",
  "--sample-every",
  "0",
  "--out",
  "run",
];
const POSIX = { ignore: Deno.build.os === "windows" };

/** Fails unless the run's only checkpoint is of a step within the first epoch, which a signal alone can have saved. */
async function assertSavedWithinEpoch(directory: string): Promise<void> {
  const checkpoints = await listCheckpoints(join(directory, "run"));
  assert.equal(checkpoints.length, 1);
  const { step } = await loadLatestCheckpoint(join(directory, "run"));
  assert.ok(step > 0 && step < 540, `saved after step ${step}`);
  const lines = (await Deno.readTextFile(join(directory, "run/metrics.jsonl"))).trim().split("\n");
  const { type, step: last, interrupted } = JSON.parse(lines.at(-1)!);
  assert.deepEqual([type, last, interrupted], ["end", step, true]);
}

for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  Deno.test(
    `${signal} saves within an epoch and exits ${exitCode}`,
    POSIX,
    async () => {
      await inTemporaryDirectory(async (directory) => {
        await makeMaterial(directory, LONG_EPOCH);
        const running = startTask("train", [...LONG, "--log-every", "256", "--json"], directory);
        await running.until((line) => JSON.parse(line).type === "start");
        running.child.kill(signal);
        const { code, out, err } = await running.outcome();
        assert.deepEqual([code, err], [exitCode, ""]);
        assert.equal(JSON.parse(out.trim().split("\n").at(-1)!).type, "end");
        await assertSavedWithinEpoch(directory);
        const report = await Deno.readTextFile(join(directory, "run/report.html"));
        assert.match(report, /Interrupted after step [\d,]+ of [\d,]+\./);
        assert.match(report, /deno task train --resume run/);
      });
    },
  );
}

Deno.test("a signal that comes twice at once, as from a terminal, saves, too", POSIX, async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory, LONG_EPOCH);
    const running = startTask("train", LONG, directory);
    await running.until((line) => line.startsWith("run directory"));
    running.child.kill("SIGINT");
    await running.until((line) => line.startsWith("SIGINT: saving"));
    running.child.kill("SIGINT");
    const { code, out, err } = await running.outcome();
    assert.deepEqual([code, err], [130, ""]);
    assert.match(out, /^stopped after step \d+; resume with: deno task train --resume run$/m);
    await assertSavedWithinEpoch(directory);
  });
});

Deno.test(
  "a reader of the output that goes away, as head does, ends training with a save",
  POSIX,
  async () => {
    await inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory, LONG_EPOCH);
      const child = taskCommand("train", [...LONG, "--log-every", "1", "--json"], directory).spawn();
      const reader = child.stdout.getReader();
      await reader.read();
      await reader.cancel();
      const [{ code }, err] = await Promise.all([child.status, new Response(child.stderr).text()]);
      assert.deepEqual([code, err], [141, ""]);
      await assertSavedWithinEpoch(directory);
    });
  },
);

Deno.test("quiet training says nothing, also when a signal ends it", POSIX, async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory, LONG_EPOCH);
    const running = startTask("train", [...LONG, "--log-every", "1", "--quiet"], directory);
    const metrics = join(directory, "run/metrics.jsonl");
    const logged = () => Deno.readTextFile(metrics).catch(() => "");
    await until("a step in metrics.jsonl", async () => (await logged()).includes('"type":"step"'));
    running.child.kill("SIGTERM");
    assert.deepEqual(await running.outcome(), { code: 143, out: "", err: "" });
    await assertSavedWithinEpoch(directory);
  });
});

Deno.test({
  name: "a second SIGINT ends the process at once",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory);
      const flags = [...TRAINING, "--epochs", "1000", "--sample-every", "0", "--out", "run"];
      const running = startTask("train", flags, directory);
      await running.until((line) => line.startsWith("epoch 1:"));
      // Opening a pipe that nobody reads takes forever, and so does the next line of metrics.
      await Deno.remove(join(directory, "run/metrics.jsonl"));
      await new Deno.Command("mkfifo", { args: [join(directory, "run/metrics.jsonl")] }).output();
      running.child.kill("SIGINT");
      await running.until((line) => line.startsWith("SIGINT: saving"));
      // It is not known how soon another one counts as that, so it comes until it does.
      const again = setInterval(() => running.child.kill("SIGINT"), 200);
      const { code, out } = await running.outcome().finally(() => clearInterval(again));
      assert.equal(code, 130);
      assert.ok(!out.includes("stopped after step"), out);
    });
  },
});
