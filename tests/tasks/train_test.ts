import assert from "node:assert/strict";
import { join } from "node:path";
import { GIF, Image } from "imagescript";
import { loadLatestCheckpoint, saveCheckpoint } from "../../lib/files/checkpoint.ts";
import { shownSteps } from "../../lib/sampling/moments.ts";
import { decodePng } from "../support/read_png.ts";
import { settingsSchema } from "../../mod.ts";
import { createReporter } from "../../terminal/progress.ts";
import { describeSmallRun, showProgress } from "../../tasks/train.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { makeMaterial, runTask, startTask, TRAINING } from "../support/command.ts";
import { deflatedZeros, pngChunk, pngHeader, pngOf } from "../support/png_files.ts";

Deno.test("the small run without a GPU says how small, and what a GPU would give", () => {
  assert.equal(
    describeSmallRun(50_000, true),
    "No GPU found: training the preset tiny on 5000 images unless --limit says otherwise. --preset small gives better " +
      "images, but needs a GPU (half an hour for CIFAR-10 on an H200).",
  );
  assert.equal(
    describeSmallRun(50_000, false, true),
    "No GPU found: training the preset tiny. --preset small gives better images, but needs a GPU.",
  );
  assert.equal(
    describeSmallRun(48, false),
    "No GPU found: training the preset tiny. --preset small gives better images, but needs a GPU.",
  );
});

Deno.test("reading the data is one line, whatever it consists of", () => {
  let text = "";
  const clock = { ms: 0 };
  const stream = { write: (part: string) => text += part };
  const onProgress = showProgress(createReporter({ mode: "lines", stream, now: () => clock.ms }));
  onProgress({ message: "fetching" });
  for (let done = 0; done <= 6; done++) onProgress({ message: "decoding", done, total: 6 });
  assert.equal(text, "fetching\ndecoding  6/6\n");
  text = "";
  for (let done = 0; done <= 2; done++) onProgress({ message: "decoding", done, total: 2 });
  assert.equal(text, "decoding  2/2\n"); // of another split
});

Deno.test("--print-schema prints the JSON Schema of the settings, and does nothing else", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, out, err } = await runTask("train", ["--print-schema"], directory);
    assert.deepEqual([code, err], [0, ""]);
    assert.deepEqual(JSON.parse(out), settingsSchema());
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  });
});

Deno.test("without an adapter it says what to do, exits 1 and writes nothing", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    const before = [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
    const { code, err } = await runTask("train", [...TRAINING], directory, { DENO_WEBGPU_BACKEND: "bogus" });
    assert.match(err, /^error: no WebGPU adapter was found\..*apt install mesa-vulkan-drivers.*setup\.sh/);
    assert.equal(code, 1);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), before);
  });
});

Deno.test("Ctrl-C while a large image is decoded ends at once, with nothing made", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory, 1);
    const [width, height] = [16_000, 4000];
    const rows = pngChunk("IDAT", deflatedZeros(height * (1 + 3 * width)));
    const large = pngOf(pngHeader({ width, height, depth: 8, colour: 2 }), rows, pngChunk("IEND"));
    await Deno.writeFile(join(directory, "images/dark/0.png"), large);
    await Deno.writeTextFile(join(directory, "images/notes.txt"), "");
    const task = startTask("train", TRAINING, directory);
    await task.until((line) => line.includes("skipped 1 entry that is not an image (notes.txt)"));
    await new Promise((resolve) => setTimeout(resolve, 200)); // so that decoding has begun, which takes a second or more
    task.child.kill("SIGINT");
    const { code, out } = await task.outcome();
    assert.equal(code, 130);
    assert.doesNotMatch(out, /cropped/, "told after decoding, so the signal was not heard before");
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [
      "images",
      "network.json",
    ]);
  });
});

Deno.test("trains on a folder of PNGs, goes on, and ends with pictures that decode", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);

    // As JSON, less than an epoch
    const json = await runTask("train", [...TRAINING, "--steps", "2", "--json"], directory);
    assert.deepEqual([json.code, json.err], [0, ""]);
    const events = json.out.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(events.map(({ type }) => type), [
      ...["data", "start", "step", "step", "epoch", "checkpoint", "samples", "end", "artefacts"],
    ]);
    assert.deepEqual(events[1].classes, ["dark", "light"]);
    assert.deepEqual([events[1].settings.steps, events[1].settings.epochs], [2, null]);
    assert.equal(events[3].step, 2);
    assert.ok(events[4].trainLoss > 0 && events[4].valLoss > 0);
    const out = join("runs", [...Deno.readDirSync(join(directory, "runs"))][0].name);
    const { paths } = events.at(-1);
    assert.equal(events[6].path, paths[1]);
    const names = [
      "data.png",
      "samples/epoch-0001.png",
      "loss.png",
      "forward.png",
      "reverse.png",
      "reverse.gif",
    ];
    assert.deepEqual(paths, [...names, "report.html"].map((name) => join(out, name)));
    paths.pop();
    await assertPictures(directory, paths);
    const { text } = decodePng(await Deno.readFile(join(directory, paths[1])));
    assert.match(text.class, /^dark, .*, light$/);
    assert.match(text.seed, /^0, 1, 2, /);
    assert.deepEqual([text.epoch, text.step, text.sampler, text.guidance], ["1", "2", "unipc", "2"]);

    // In plain lines, the newest run goes on
    const lines = await runTask("train", ["--data", "images", "--resume", "--epochs", "2"], directory);
    assert.deepEqual([lines.code, lines.err], [0, ""]);
    for (
      const line of [
        /^adapter .*; custom network in float32, 0\.\d\d M parameters, \d+ MiB on the device, images included$/m,
        /^20 training and 2 validation images, batch 4, 5 steps per epoch, 10 steps in total$/m,
        /^resumed after step 2$/m,
        /^epoch 1: training loss \d\.\d{5}, validation loss \d\.\d{5}, \d+:\d\d$/m,
        /^epoch 2: /m,
        /^training {2}10\/10 {2}epoch 2 {2}loss \d\.\d{4} {2}images\/s \d+\.\d$/m,
        /^samples in runs\/.*\/samples\/epoch-0002\.png$/m,
        /^done: 10 steps, 8 of them now, in \d+:\d\d with data, .*; training and validation of all steps took \d+:\d\d$/m,
        /^loss curves: runs\/.*\/loss\.png$/m,
        /^draw images: deno task sample --model runs\/.* --class dark$/m,
      ]
    ) assert.match(lines.out, line);
    assert.match(lines.out.trimEnd().split("\n").at(-1)!, /^done: /);
    assert.ok(!lines.out.includes("\r") && !lines.out.includes("\x1b"), "no control characters");
    await assertPictures(directory, [...paths, join(out, "samples/epoch-0002.png")]);

    // Existing pictures are not drawn again. A likely mistake is pointed out; an impossible setting is refused before the data is read.
    await Deno.remove(join(directory, out, "loss.png"));
    const drawn = (name: string) => Deno.statSync(join(directory, out, name)).mtime!.getTime();
    const before = names.slice(3).map(drawn);
    const finished = await runTask("train", ["--data", "images", "--resume"], directory);
    assert.deepEqual([finished.code, finished.err], [0, ""]);
    assert.match(
      finished.out,
      /^warning: all 10 steps .* done; to continue it, set more --epochs or --steps$/m,
    );
    assert.match(finished.out, /^loss curves: /m);
    assert.doesNotMatch(finished.out, /process/);
    assert.deepEqual(names.slice(3).map(drawn), before);
    const rate = await runTask("train", ["--data", "nowhere", "--resume", out, "--lr", "0.5"], directory);
    assert.match(rate.err, /^error: --lr: expected 0\.001, with which this run was started .*, got 0\.5\n$/);

    // A second run beside it is another directory; the same directory is refused
    const again = await runTask("train", [...TRAINING, "--steps", "1", "--out", out], directory);
    assert.deepEqual(again.code, 2);
    assert.match(
      again.err,
      /^error: --out: expected a directory without a run, or --resume to continue the one in it, got /,
    );
  });
});

Deno.test("pictures that cannot be drawn are warnings: the run ends with the others and its summary", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    const first = [...TRAINING, "--steps", "1", "--quiet", "--out", "run"];
    assert.deepEqual(await runTask("train", first, directory), { code: 0, out: "", err: "" });
    for (const name of ["loss.png", "forward.png", "samples"]) {
      await Deno.remove(join(directory, "run", name), { recursive: true });
    }
    for (const name of ["loss.png", "forward.png"]) await Deno.mkdir(join(directory, "run", name));
    await Deno.writeTextFile(join(directory, "run/samples"), "a file where a directory is needed");
    const flags = ["--data", "images", "--resume", "run", "--steps", "2", "--json"];
    const { code, out, err } = await runTask("train", flags, directory);
    assert.deepEqual([code, err], [0, ""]);
    const events = out.trim().split("\n").map((line) => JSON.parse(line));
    const warnings = events.filter(({ type }) => type === "warning").map(({ message }) =>
      message.split(":")[0]
    );
    const names = ["samples/epoch-0001.png", "loss.png", "forward.png"];
    assert.deepEqual(warnings, names.map((name) => join("run", name)));
    const written = ["reverse.png", "reverse.gif", "report.html"];
    assert.deepEqual(events.at(-1).paths, written.map((name) => join("run", name)));
  });
});

async function assertPictures(directory: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const bytes = await Deno.readFile(join(directory, path));
    const picture = path.endsWith(".gif") ? await GIF.decode(bytes) : await Image.decode(bytes);
    assert.ok(picture.width >= 64 && picture.height >= 64, `${path}: ${picture.width} x ${picture.height}`);
    if (picture instanceof GIF) {
      assert.equal(picture.length, shownSteps(100, { count: 25, spacing: "late" }).length);
    }
  }
}

Deno.test("a run that ends with an error says so in its log and its report, until it goes on", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    const out = join(directory, "run");
    const first = [...TRAINING, "--steps", "2", "--quiet", "--out", "run"];
    assert.deepEqual(await runTask("train", first, directory), { code: 0, out: "", err: "" });
    const sound = await loadLatestCheckpoint(out);
    const weights = sound.trainerTensors.get("raw.conv_out.weight")!.data as Float32Array;
    const kept = weights.slice();
    weights.fill(1e30); // with which every loss overflows
    await saveCheckpoint(out, sound);

    const resume = ["--data", "images", "--resume", "run", "--steps", "4", "--quiet"];
    const failed = await runTask("train", resume, directory);
    assert.equal(failed.code, 1);
    const message = /^error: (step 3: the loss stopped being finite.*)$/m.exec(failed.err)![1]!;
    const last = async () =>
      JSON.parse((await Deno.readTextFile(join(out, "metrics.jsonl"))).trimEnd().split("\n").at(-1)!);
    const { type, interrupted, error } = await last();
    assert.deepEqual([type, interrupted], ["end", true]);
    assert.match(error, /^step 3: the loss stopped being finite, first in /);
    assert.ok(message.startsWith(error.slice(0, 60)));
    const state = /Ended with an error after step \d of 4: step 3: the loss stopped being finite/;
    assert.match(await Deno.readTextFile(join(out, "report.html")), state);

    weights.set(kept);
    await saveCheckpoint(out, sound);
    assert.deepEqual(await runTask("train", resume, directory), { code: 0, out: "", err: "" });
    assert.equal((await last()).error, undefined);
    assert.doesNotMatch(await Deno.readTextFile(join(out, "report.html")), /Ended with an error/);
  });
});
