import assert from "node:assert/strict";
import { join } from "node:path";
import { UNET_WEIGHTS } from "../../lib/files/pipeline_files.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { makeMaterial, runTask, TRAINING } from "../support/command.ts";

const TIMED = (await testGpu()).adapter.features.includes("timestamp-query");

/** The names and categories of a trace's slices. */
async function slicesOf(path: string): Promise<{ name: string; cat: string }[]> {
  const { traceEvents } = JSON.parse(await Deno.readTextFile(path));
  return traceEvents.filter(({ ph }: { ph: string }) => ph === "X");
}

Deno.test({
  name:
    "a run and its images are the same to the bit when profiled, and the traces hold the steps that were taken",
  ignore: !TIMED,
  fn: () =>
    inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory);
      const flags = [...TRAINING, "--epochs", "1", "--sample-every", "0"];
      const profiled = await runTask("train", [...flags, "--out", "a", "--profile", "train.json"], directory);
      assert.equal(profiled.code, 0, profiled.err);
      assert.match(profiled.out, /^training step of custom, batch 4 +calls +ms +share +GFLOP\/s +GB\/s$/m);
      assert.match(profiled.out, /^conv2d_forward\S* +\d+ +[\d.]+ +[\d.]+ % +[\d.]+ +[\d.]+$/m);
      const plain = await runTask("train", [...flags, "--out", "b", "--json"], directory);
      assert.equal(plain.code, 0, plain.err);
      assert.ok(!plain.out.includes('"profile"'));
      const weights = (out: string) => Deno.readFile(join(directory, out, UNET_WEIGHTS));
      assert.deepEqual(await weights("a"), await weights("b"));
      const training = await slicesOf(join(directory, "train.json"));
      // Five steps an epoch: the first two are for compiling.
      const replays = training.filter(({ cat }) => cat === "replay").map(({ name }) => name);
      assert.deepEqual(replays, [1, 2, 3].map((i) => `training step of custom, batch 4, ${i} of 3`));
      assert.equal(training.filter(({ cat }) => cat === "adamw.adamw").length, 3);

      const drawing = ["--model", "a", "--count", "2", "--steps", "4", "--out"];
      const drawn = await runTask("sample", [...drawing, "a.png", "--profile", "sample.json"], directory);
      assert.equal(drawn.code, 0, drawn.err);
      assert.match(drawn.out, /^sampling step, 4 at once +calls /m);
      assert.equal((await runTask("sample", [...drawing, "b.png"], directory)).code, 0);
      const picture = (name: string) => Deno.readFile(join(directory, name));
      assert.deepEqual(await picture("a.png"), await picture("b.png"));
      const sampling = await slicesOf(join(directory, "sample.json"));
      assert.equal(sampling.filter(({ cat }) => cat === "replay").length, 1);
      assert.equal(sampling.filter(({ cat }) => cat === "sampler_step.sampler_step").length, 1);
    }),
});

Deno.test("a profile that cannot be written is refused before there is anything to lose", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory, 2);
    await Deno.mkdir(join(directory, "folder"));
    const { code, err } = await runTask(
      "train",
      [...TRAINING, "--out", "a", "--profile", "folder"],
      directory,
    );
    assert.equal(code, 2, err);
    assert.match(err, /--profile.*a file, not a directory/);
  });
});
