/** `deno task init`: the settings that it chooses, and that its commands work. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { surveyImages } from "../../lib/data/survey.ts";
import { readServeFlags } from "../../tasks/serve_flags.ts";
import { settingsText, startingSettings } from "../../tasks/starting_project.ts";
import { runTask } from "../support/command.ts";
import { makeJpeg } from "../support/image_files.ts";
import { makePng } from "../support/synthetic.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** Two kinds of birds, `count` pictures each, 120 x 90 and 50 x 60 pixels. */
async function makeBirds(directory: string, count: number): Promise<void> {
  for (const kind of ["owl", "wren"]) {
    const folder = join(directory, "birds", kind);
    await Deno.mkdir(folder, { recursive: true });
    for (let i = 0; i < count; i++) {
      await Deno.writeFile(join(folder, `${i}.png`), await makePng(120, 90, (x, y) => [x * i % 256, y, 90]));
    }
  }
  const other = await makeJpeg(50, 60, (x, y) => [x, y, 0]);
  await Deno.writeFile(join(directory, "birds/owl/other.jpg"), other);
}

const images = (count: number, shortSide: number | undefined) => ({
  images: { images: count, classes: ["owl", "wren"], shortSide, batches: false },
});

Deno.test("settings suit the size and number of the images, and the adapter", () => {
  const [gpu, software] = [{ software: false }, { software: true }];
  assert.deepEqual(startingSettings({ ...images(270, 480), ...gpu }), {
    ...{ size: 128, preset: "small-128", batch: 16, steps: 20_000 },
  });
  assert.deepEqual(startingSettings({ ...images(270, 100), ...gpu }), {
    ...{ size: 64, preset: "small-64", batch: 32, steps: 20_000 },
  });
  assert.deepEqual(startingSettings({ ...images(60_000, 28), ...gpu }), {
    ...{ size: 28, preset: "small", batch: 128, epochs: 100 },
  });
  assert.deepEqual(startingSettings({ ...images(60_000, 480), ...software }), {
    ...{ size: 32, preset: "tiny", limit: 5000, batch: 32, epochs: 5 },
  });
  assert.deepEqual(
    startingSettings({ ...images(20, undefined), ...software, preset: "ddpm", size: [32, 48] }),
    {
      ...{ size: [32, 48], preset: "ddpm", batch: 16, steps: 20_000 },
    },
  );
  const few = { ...images(270, 480), ...software, hasModel: true };
  assert.deepEqual(startingSettings(few), { size: 32, init: "cifar10", batch: 16, steps: 400 });
  assert.deepEqual(startingSettings({ ...few, ...images(9, 480) }).batch, 8);
  for (
    const other of [
      { software: false },
      { preset: "tiny" },
      { size: 64 },
      { hasModel: false },
      images(10_000, 480),
    ] as const
  ) {
    assert.equal(startingSettings({ ...few, ...other }).init, undefined);
  }
  assert.deepEqual(startingSettings(gpu), { preset: "small", batch: 128, epochs: 100 });
  assert.deepEqual(startingSettings(software), { preset: "tiny", limit: 5000, batch: 32, epochs: 5 });
  const batches = { images: { images: 45_000, classes: [], shortSide: 32, batches: true } };
  assert.deepEqual(startingSettings({ ...batches, ...gpu }), { preset: "small", batch: 128, epochs: 100 });
  const text = settingsText({ size: [32, 48], preset: "tiny", batch: 4 }, { folder: "a/b", data: "birds" });
  assert.deepEqual(Object.entries(JSON.parse(text)).slice(1), [
    ...[["data", "../../birds"], ["size", "32x48"], ["preset", "tiny"], ["batch", 4], ["out", "runs/first"]],
  ]);
});

Deno.test("images are surveyed by their headers", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeBirds(directory, 5);
    const survey = { images: 9, classes: ["owl", "wren"], shortSide: 90, batches: false };
    assert.deepEqual(await surveyImages(join(directory, "birds")), { ...survey, damaged: [] });
    const damaged = ["owl/a.png", "owl/b.jpg", "wren/c.png", "wren/d.webp"].map((file) =>
      join(directory, "birds", file)
    );
    for (const file of damaged) await Deno.writeTextFile(file, "no image");
    const found = await surveyImages(join(directory, "birds"));
    assert.deepEqual(found.damaged, damaged);
    const { out } = await runTask("init", ["--data", "birds"], directory);
    const told =
      /^4 files cannot be read as images: birds\/owl\/a\.png, birds\/owl\/b\.jpg, birds\/wren\/c\.png, and 1 other; training stops there, unless train\.json has "onBadFile": "skip"$/m;
    assert.match(out, told);
    assert.match(out, /: size 32, fine-tuning of cifar10, as there is no GPU$/m);
  });
});

Deno.test("a starting project's commands train, go on, draw and serve; nothing is overwritten", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeBirds(directory, 10);
    await Deno.mkdir(join(directory, "my birds"));
    await Deno.writeTextFile(join(directory, "my birds/.gitignore"), "mine\n");
    const made = await runTask("init", ["my birds", "--data", "birds", "--preset", "tiny"], directory);
    assert.deepEqual([made.code, made.err], [0, ""]);
    assert.equal(
      made.out,
      "wrote my birds/README.md\nkept my birds/.gitignore\nwrote my birds/train.json\n" +
        "18 images to train on, of 2 classes, about 90 pixels on the shorter side: size 32, preset tiny\n" +
        "train: deno task train --settings 'my birds/train.json'\n",
    );
    assert.equal(await Deno.readTextFile(join(directory, "my birds/.gitignore")), "mine\n");
    const again = await runTask("init", ["my birds"], directory);
    assert.deepEqual([again.code, again.out], [2, ""]);
    assert.match(again.err, /^error: DIR: expected a folder without a train\.json, .*got "my birds"\n$/);
    const inData = await runTask("init", ["birds/owl", "--data", "birds"], directory);
    assert.match(inData.err, /^error: DIR: expected a directory outside the data \(birds\)/);

    const readme = await Deno.readTextFile(join(directory, "my birds/README.md"));
    const commands = [...readme.matchAll(/^deno task (\S+) (.*)$/gm)].map(([, task = "", words = ""]) => {
      const args = [...words.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
      return { task, args };
    });
    assert.deepEqual(commands.map(({ task }) => task), ["train", "train", "sample", "serve", "train"]);
    for (const { task, args } of commands) {
      if (task === "serve") {
        assert.deepEqual(readServeFlags(args).model, [{ name: "first", path: "my birds/runs/first" }]);
        continue;
      }
      const short = task === "sample"
        ? ["--count", "1", "--steps", "2"]
        : ["--steps", args.includes("--resume") ? "3" : "2", "--sample-every", "0", "--batch", "4"];
      const { code, err } = await runTask(task, [...args, ...short], directory);
      assert.deepEqual([code, err], [0, ""], `${task} ${args.join(" ")}`);
    }
    assert.ok((await Deno.stat(join(directory, "my birds/samples.png"))).isFile);
  });
});

Deno.test("without images of one's own the settings are for CIFAR-10", async () => {
  await inTemporaryDirectory(async (directory) => {
    assert.equal((await runTask("init", [], directory)).code, 0);
    const settings = JSON.parse(await Deno.readTextFile(join(directory, "my-model/train.json")));
    assert.deepEqual([settings.data, settings.preset, settings.out], [undefined, "tiny", "runs/first"]);
    const sized = await runTask("init", ["other", "--size", "64"], directory);
    assert.deepEqual([sized.code, sized.err], [
      2,
      'error: --size: expected no value for CIFAR-10\'s images, got "64"\n',
    ]);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["my-model"]);
  });
});
