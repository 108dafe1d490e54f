/** The summary of a run's images, which comes first and is kept in its log. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { checkRunDirectory, DATA_SHEET } from "../../lib/train/run_directory.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { ofType, patternImages, run } from "../support/train/micro.ts";

Deno.test("the first event counts the images of the run, class by class; so does its log, once", async () => {
  await inTemporaryDirectory(async (out) => {
    const data = { ...patternImages(40, 4), source: "/pets" };
    const events = await run({ data, limit: 16, steps: 2, out });
    assert.equal(events[0]!.type, "data");
    const [event] = ofType(events, "data");
    const { classes, ...rest } = event!;
    assert.deepEqual(rest, {
      ...{ type: "data", name: "patterns", source: "/pets", digest: data.digest, images: 40 },
      ...{ height: 8, width: 8, channels: 3, trainImages: 16, validationImages: 2, ownSplit: false },
    });
    assert.deepEqual(classes.map(({ name, train }) => [name, train]), [
      ...[["first", 4], ["second", 4], ["third", 4], ["fourth", 4]],
    ]);
    assert.equal(classes.reduce((sum, { validation }) => sum + validation, 0), 2);
    await run({ data, out, resume: true, steps: 4 });
    const lines = (await Deno.readTextFile(join(out, "metrics.jsonl"))).trim().split("\n");
    const logged = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === "data");
    assert.deepEqual(logged, [event]);
  });
});

Deno.test("data with its own validation images says so, and names no classes where there are none", async () => {
  const { images, labels, height, width } = patternImages(12);
  const data = imageDataset({
    ...{ name: "flat", images, labels: labels.fill(0), classes: [], height, width },
    validation: Uint32Array.of(1, 5),
  });
  const [event] = ofType(await run({ data, steps: 1 }), "data");
  assert.deepEqual([event!.ownSplit, event!.classes, event!.validationImages], [true, [], 2]);
});

Deno.test("the contact sheet of a run that ended before its first checkpoint does not stop the next", async () => {
  await inTemporaryDirectory(async (out) => {
    await Deno.writeTextFile(join(out, DATA_SHEET), "");
    await checkRunDirectory(out, false);
  });
});
