import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { lowerContext, planLaunches } from "../../lib/graph/compile.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { lower } from "../../lib/graph/lower.ts";
import { unetParameters } from "../../lib/model/network.ts";
import { autoPreset, presetConfig, type PresetName, PRESETS } from "../../lib/model/presets.ts";
import { unet, unetInputs } from "../../lib/model/unet.ts";
import { trainingGraph } from "../../lib/train/device/step_graph.ts";
import { PRESET_DEFAULTS } from "../../lib/train/settings.ts";

/** Floating-point operations of the products in one forward pass of one image, 10^9. */
function forwardGflop(preset: string): number {
  const g = new Graph();
  const config = presetConfig(preset, 10);
  unet(g, config, unetInputs(g, config, 1, false));
  const context = lowerContext(g, { path: "tile", subgroupSize: 32 });
  const launches = g.nodes.flatMap((node) => lower(context, node));
  return launches.reduce((sum, { flops }) => sum + flops, 0) / 1e9;
}

Deno.test("ddpm without classes is the reference model: 35,746,307 parameters in 328 tensors", () => {
  const table = unetParameters(presetConfig("ddpm", 0));
  assert.equal(table.count, 35_746_307);
  assert.equal(table.parameters.length, 328);
  // Ten classes and the null class, as wide as the time embedding.
  assert.equal(unetParameters(presetConfig("ddpm", 10)).count, 35_746_307 + 11 * 512);
  const gflop = forwardGflop("ddpm");
  assert.ok(gflop > 12 && gflop < 13, `${gflop} GFLOP`);
});

Deno.test("small is the reference's shape with about 9 million parameters", () => {
  const table = unetParameters(presetConfig("small", 0));
  assert.ok(table.count > 8.5e6 && table.count < 9.5e6, `${table.count}`);
  assert.deepEqual(
    table.parameters.map(({ name }) => name),
    unetParameters(presetConfig("ddpm", 0)).parameters.map(({ name }) => name),
  );
});

Deno.test("tiny takes at most 0.15 GFLOP forward an image", () => {
  const gflop = forwardGflop("tiny");
  assert.ok(gflop > 0.05 && gflop <= 0.15, `${gflop} GFLOP`);
});

Deno.test("presets take overrides, and a row for no class where they have classes", () => {
  for (const preset of PRESETS) {
    assert.equal(presetConfig(preset, 10).numClassEmbeds, 11);
    assert.equal(presetConfig(preset, 0).numClassEmbeds, null);
    assert.equal(presetConfig(preset, 0, { dropout: 0.3 }).dropout, 0.3);
  }
  assert.throws(() => presetConfig("tiny", 10, { normNumGroups: 7 }), ConfigError);
  assert.throws(
    () => presetConfig("large", 10),
    /^ConfigError: preset: expected one of tiny, small, small-64, small-128, ddpm, got "large"$/,
  );
});

Deno.test("a preset has as many levels as the image size can be halved, three at least", () => {
  for (const preset of PRESETS) {
    const levels = (sampleSize: number | [number, number]) =>
      presetConfig(preset, 0, { sampleSize }).blockOutChannels;
    const all = levels(64);
    assert.deepEqual(levels(28), all.slice(0, 3));
    assert.deepEqual(levels([64, 20]), all.slice(0, 3));
    const { downBlockTypes, upBlockTypes } = presetConfig(preset, 0, { sampleSize: 28 });
    assert.deepEqual(upBlockTypes, downBlockTypes.map((type) => type.replace("Down", "Up")).reverse());
    assert.throws(
      () => levels([30, 64]),
      /^ConfigError: size: expected multiples of 4, such as 32x64: the network halves images 2 times or more, got "30x64"$/,
    );
  }
});

/** Bytes on the device of a training step in float32 on a GPU: activations, and weights with gradient, moments and average. */
function trainingBytes(preset: PresetName): number {
  const config = presetConfig(preset, 10);
  const g = trainingGraph({ config, batch: PRESET_DEFAULTS[preset].batch, precision: "float32" });
  const context = lowerContext(g, { path: "tile", subgroupSize: 32 });
  const { plan } = planLaunches(g, g.nodes.map((node) => lower(context, node)), context);
  return plan.bytes + 5 * 4 * unetParameters(config).elements;
}

Deno.test("presets for larger images fit a laptop's GPU at their default batch", () => {
  const gibibytes = (preset: PresetName) => trainingBytes(preset) / 2 ** 30;
  for (const preset of ["small-64", "small-128"] as const) {
    const planned = gibibytes(preset);
    assert.ok(planned > 2 && planned < 3, `${preset}: ${planned} GiB`); // of 4, which a display and the images share
  }
});

Deno.test("auto is tiny without a GPU, else the preset of the nearest size", () => {
  assert.equal(autoPreset(true, [128, 128]), "tiny");
  const sizes: [number, number, PresetName][] = [
    [28, 28, "small"],
    [48, 48, "small"],
    [64, 32, "small"],
    [64, 64, "small-64"],
    [96, 96, "small-64"],
    [64, 160, "small-128"],
    [128, 128, "small-128"],
    [256, 256, "small-128"],
  ];
  for (const [height, width, preset] of sizes) assert.equal(autoPreset(false, [height, width]), preset);
});
