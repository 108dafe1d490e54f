/** Settings files of `deno task train`, and the settings in effect that it prints. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { loadLatestCheckpoint } from "../../lib/files/checkpoint.ts";
import { ROOT } from "../support/documents.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { makeMaterial, runTask } from "../support/command.ts";

/** A training run on the material. */
const FILE = {
  data: "images",
  model: "network.json",
  batch: 4,
  warmup: 2,
  steps: 2,
  flip: false,
  recipe: "best",
  seed: 3,
  onBadFile: "skip",
  sampleEvery: 0,
  out: "runs/a",
};

const train = (directory: string, ...args: string[]) => runTask("train", args, directory);

Deno.test("printed settings are complete, give the same run again, and nothing else is done", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    await Deno.writeTextFile(join(directory, "birds.json"), JSON.stringify(FILE, null, 2));
    const names = () => [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
    const before = names();
    const printed = await train(directory, "--settings", "birds.json", "--print-settings", "--seed", "4");
    assert.deepEqual([printed.code, printed.err], [0, ""]);
    assert.deepEqual(names(), before);
    const settings = JSON.parse(printed.out);
    for (
      const [name, value] of Object.entries({
        ...FILE,
        seed: 4,
        epochs: null,
        objective: "flow",
        lr: 1e-3,
        fit: "crop",
      })
    ) {
      const expected = ["data", "model", "out"].includes(name) ? join(directory, value as string) : value;
      assert.deepEqual(settings[name], expected, name);
    }

    await Deno.mkdir(join(directory, "elsewhere"));
    await Deno.writeTextFile(join(directory, "elsewhere/again.json"), printed.out);
    const again = await train(directory, "--settings", "elsewhere/again.json", "--print-settings");
    assert.equal(again.out, printed.out);

    const sources = await train(
      directory,
      "--settings",
      "birds.json",
      "--print-settings=sources",
      "--seed",
      "4",
    );
    const source = Object.fromEntries(sources.out.trimEnd().split("\n").map((line) => line.split(/ {2,}/)));
    assert.deepEqual(
      ["seed", "batch", "epochs", "objective", "lr", "samplesPerClass", "clip"].map((name) => source[name]),
      ["flag", "birds.json:4", "birds.json:6", "recipe best", "preset tiny", "adapter", "default"],
    );

    // Both files make the same run, which records what the file said
    assert.equal((await train(directory, "--settings", "birds.json", "--seed", "4", "--quiet")).code, 0);
    const other = await train(directory, "--settings", "elsewhere/again.json", "--out", "runs/b", "--quiet");
    assert.deepEqual([other.code, other.err], [0, ""]);
    const runs = ["a", "b"].map((name) => join(directory, "runs", name));
    const [a, b] = await Promise.all(runs.map(async (run) => (await loadLatestCheckpoint(run)).trainer));
    assert.deepEqual(a!.settings, b!.settings);
    const weights = await Promise.all(
      runs.map((run) => Deno.readFile(join(run, "unet/diffusion_pytorch_model.safetensors"))),
    );
    assert.deepEqual(weights[0], weights[1]);

    // Resumed, the run takes what may change, and refuses what may not by the file's line
    const resumed = await train(
      directory,
      "--settings",
      "birds.json",
      "--resume",
      "--steps",
      "3",
      "--seed",
      "4",
      "--quiet",
    );
    assert.deepEqual([resumed.code, resumed.err], [0, ""]);
    const refused = await train(directory, "--settings", "birds.json", "--resume");
    assert.equal(refused.code, 2);
    assert.equal(
      refused.err,
      "error: birds.json:9: seed: expected 4, with which this run was started (it cannot change on resume), got 3\n",
    );
    const taken = await train(directory, "--settings", "birds.json", "--seed", "4");
    assert.match(
      taken.err,
      /^error: birds\.json:12: out: expected a directory without a run, or --resume to continue/,
    );
    const ofRun = await train(directory, "--resume", "runs/a", "--print-settings");
    const { seed, steps, data, out } = JSON.parse(ofRun.out);
    assert.deepEqual([seed, steps, data, out], [4, 3, join(directory, "images"), undefined]);
  });
});

Deno.test("printed settings of other networks are read again", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    await Deno.writeTextFile(join(directory, "betas.json"), "[0.1, 0.2]");
    await Deno.mkdir(join(directory, "cifar"));
    await Deno.writeTextFile(join(directory, "cifar/data_batch_1.bin"), "read only by a run");
    const commands = [
      ["--data", "cifar", "--size", "32"],
      ["--data", "images", "--init", join(ROOT, "checkpoints/cifar10-tiny"), "--epochs", "2"],
      ["--unconditional", "--dropout", "0.2", "--epochs", "3"],
      [
        "--data",
        "images",
        "--betas",
        "betas.json",
        "--size",
        "16",
        "--channels",
        "1",
        "--ema-profiles",
        "0.05,0.1",
      ],
      ["--preset", "small", "--steps", "9", "--profile", "--objective", "edm"],
    ];
    for (const args of commands) {
      const { code, out, err } = await train(directory, ...args, "--print-settings");
      assert.deepEqual([code, err], [0, ""]);
      await Deno.writeTextFile(join(directory, "again.json"), out);
      assert.equal((await train(directory, "--settings", "again.json", "--print-settings")).out, out);
    }
  });
});
