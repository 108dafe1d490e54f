import assert from "node:assert/strict";
import { join } from "node:path";
import configuration from "../../deno.json" with { type: "json" };
import { parseLog } from "../../lib/report/run_log.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { patternImages, run } from "../support/train/micro.ts";

Deno.test("a run's metrics begin with its settings, data and machine, and each resume adds a line", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ out, epochs: 1, limit: 24 });
    await run({ out, resume: true, epochs: 2 });
    const { starts, epochs } = parseLog(await Deno.readTextFile(join(out, "metrics.jsonl")));
    assert.deepEqual(epochs.map(({ epoch }) => epoch), [1, 2]);
    assert.deepEqual(starts.map(({ step, resumedFrom }) => [step, resumedFrom]), [[0, 0], [
      epochs[0].step,
      epochs[0].step,
    ]]);
    assert.deepEqual(starts.map(({ settings }) => settings.epochs), [1, 2]);
    const [{ dataset, machine, time, trainImages }] = starts;
    const { digest } = patternImages(40);
    const { name, height, width, channels, images, classes } = dataset;
    assert.deepEqual([name, dataset.digest, height, width, channels, images], [
      "patterns",
      digest,
      8,
      8,
      3,
      40,
    ]);
    assert.deepEqual(classes.map(({ name }) => name), ["first", "second"]);
    assert.equal(classes.reduce((sum, { train }) => sum + train, 0), trainImages);
    assert.ok(trainImages <= 24);
    assert.ok(machine.adapter.name.length > 0 && machine.webgpu.length > 0 && machine.driver.length > 0);
    assert.deepEqual([machine.denoise, machine.deno], [configuration.version, Deno.version.deno]);
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 600_000);
  });
});
