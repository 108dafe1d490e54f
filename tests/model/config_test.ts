import assert from "node:assert/strict";
import { ConfigError, showValue } from "../../lib/errors.ts";
import {
  classCount,
  imageSize,
  unetConfig,
  unetConfigFromJson,
  unetConfigToJson,
} from "../../lib/model/config.ts";
import { presetConfig, PRESETS } from "../../lib/model/presets.ts";
import { loadNetworkCase } from "../golden/tensors.ts";

/** The reference model's file, as diffusers has it (google/ddpm-cifar10-32). */
const reference = {
  _class_name: "UNet2DModel",
  _diffusers_version: "0.0.4",
  act_fn: "silu",
  attention_head_dim: null,
  block_out_channels: [128, 256, 256, 256],
  center_input_sample: false,
  down_block_types: ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
  downsample_padding: 0,
  flip_sin_to_cos: false,
  freq_shift: 1,
  in_channels: 3,
  layers_per_block: 2,
  mid_block_scale_factor: 1,
  norm_eps: 1e-6,
  norm_num_groups: 32,
  out_channels: 3,
  sample_size: 32,
  time_embedding_type: "positional",
  up_block_types: ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
};

Deno.test("the reference model's file is the ddpm preset without classes", () => {
  assert.deepEqual(unetConfigFromJson(reference), presetConfig("ddpm", 0, { dropout: 0 }));
});

Deno.test("a file that leaves out everything it can means diffusers' defaults", () => {
  const { sample_size, down_block_types, up_block_types } = reference;
  const block_out_channels = [32, 64, 64, 64];
  const config = unetConfigFromJson({ sample_size, block_out_channels, down_block_types, up_block_types });
  assert.deepEqual(config, {
    sampleSize: 32,
    inChannels: 3,
    selfConditioning: false,
    outChannels: 3,
    blockOutChannels: block_out_channels,
    downBlockTypes: down_block_types,
    upBlockTypes: up_block_types,
    layersPerBlock: 2,
    addAttention: true,
    attentionHeadDim: 8,
    normNumGroups: 32,
    normEps: 1e-5,
    downsamplePadding: 1,
    timeEmbeddingType: "positional",
    numTrainTimesteps: null,
    classEmbedType: null,
    flipSinToCos: true,
    freqShift: 0,
    numClassEmbeds: null,
    dropout: 0,
    resnetTimeScaleShift: "default",
    downsampleType: "conv",
    upsampleType: "conv",
    midBlockType: "UNetMidBlock2D",
    attnNormNumGroups: null,
    timeEmbeddingDim: null,
    activation: "silu",
    centerInputSample: false,
    midBlockScaleFactor: 1,
  });
});

Deno.test("a configuration that is written and read is the same", () => {
  const configs = [
    ...PRESETS.map((preset) => presetConfig(preset, 10)),
    ...[
      "reference32",
      "heads",
      "classes",
      "unaligned",
      "scale_shift",
      "resampling",
      "variance",
      "mish",
      "relu",
      "learned_time",
      "fourier",
      "class_numbers",
    ].map((name) => unetConfigFromJson(loadNetworkCase(name).config)),
    presetConfig("tiny", 0, {
      sampleSize: [16, 24],
      downsamplePadding: 1,
      addAttention: false,
      freqShift: 0.5,
    }),
  ];
  for (const config of configs) {
    assert.deepEqual(unetConfigFromJson(JSON.parse(JSON.stringify(unetConfigToJson(config)))), config);
  }
});

Deno.test("fields that choose between kinds of blocks are written only where they are not diffusers' defaults", () => {
  const { config } = loadNetworkCase("resampling");
  const written = unetConfigToJson(unetConfigFromJson(config));
  assert.deepEqual([written.downsample_type, written.time_embedding_dim], ["resnet", 20]);
  const plain = unetConfigToJson(presetConfig("tiny", 10));
  for (
    const field of ["resnet_time_scale_shift", "downsample_type", "mid_block_type", "time_embedding_dim"]
  ) {
    assert.ok(!(field in plain), field);
  }
});

Deno.test("an activation has diffusers' names, in any case, and is written as the first of them", () => {
  for (
    const [name, activation] of [["silu", "silu"], ["swish", "silu"], ["GELU", "gelu"], ["mish", "mish"]]
  ) {
    const config = unetConfigFromJson({ ...reference, act_fn: name });
    assert.equal(config.activation, activation);
    assert.equal(unetConfigToJson(config).act_fn, activation);
  }
});

Deno.test("only levels with attention need channels that the heads divide", () => {
  const json = { ...reference, block_out_channels: [96, 32, 64, 64], attention_head_dim: 64 };
  assert.throws(() => unetConfigFromJson(json), { field: "attention_head_dim" });
  const plain = {
    down_block_types: Array(4).fill("DownBlock2D"),
    up_block_types: Array(4).fill("UpBlock2D"),
  };
  // The middle's attention is left, which works on the last level's channels.
  assert.equal(unetConfigFromJson({ ...json, ...plain }).attentionHeadDim, 64);
});

/** A list in a list, so many times. */
function nested(depth: number): unknown {
  let value: unknown[] = [];
  for (let i = 1; i < depth; i++) value = [value];
  return value;
}

const refused: [field: string, value: unknown, allowed?: RegExp][] = [
  ["_class_name", "UNet2DConditionModel", /"UNet2DModel"/],
  ["act_fn", "tanh", /"silu" or "mish" or "gelu" or "relu" or "swish"/],
  ["center_input_sample", 1, /true or false/],
  ["time_embedding_type", "rotary", /"positional" or "fourier" or "learned", got/],
  ["mid_block_scale_factor", 0, /a positive number/],
  ["mid_block_type", "UNetMidBlock2DCrossAttn", /"UNetMidBlock2D" or null/],
  ["downsample_type", "fir", /"conv" or "resnet"/],
  ["upsample_type", "fir", /"conv" or "resnet"/],
  ["resnet_time_scale_shift", "spatial", /"default" or "scale_shift"/],
  ["class_embed_type", "identity", /null or "timestep" \(identity takes vectors for classes/],
  ["time_embedding_dim", 0.5, /a whole number from 1/],
  ["attn_norm_num_groups", 7, /a number of groups that fits: 7 groups do not divide 256 channels/],
  ["sample_size", null, /a number or \[height, width\]/],
  ["sample_size", [32], /a number or \[height, width\]/],
  ["sample_size", [32, "32"], /a whole number from 1/],
  ["sample_size", nested(200_000), /a number or \[height, width\], got \[\[\[…\]\]\]$/],
  ["sample_size", [nested(200_000), 8], /a whole number from 1/],
  ["block_out_channels", [nested(200_000)], /a whole number from 1/],
  ["sample_size", 30, /a multiple of 8, since 4 levels halve it 3 times/],
  ["sample_size", 0],
  ["in_channels", 0, /a whole number from 1 to 64/],
  ["out_channels", 2.5, /a whole number from 1 to 64/],
  ["block_out_channels", 128, /a list/],
  ["block_out_channels", [], /1 to 8 entries/],
  ["block_out_channels", Array(9).fill(32), /1 to 8 entries/],
  ["block_out_channels", [128, 256, 250, 256], /multiples of norm_num_groups \(32\), got 250/],
  ["block_out_channels", [128, "256", 256, 256], /a whole number/],
  ["down_block_types", "DownBlock2D", /a list/],
  ["down_block_types", ["DownBlock2D"], /4, as many as block_out_channels, got "1 entries"/],
  [
    "down_block_types",
    Array(4).fill("SkipDownBlock2D"),
    /DownBlock2D or AttnDownBlock2D or ResnetDownsampleBlock2D/,
  ],
  ["up_block_types", Array(4).fill("SkipUpBlock2D"), /UpBlock2D or AttnUpBlock2D or ResnetUpsampleBlock2D/],
  ["up_block_types", Array(5).fill("UpBlock2D"), /4, as many as block_out_channels/],
  ["layers_per_block", 0, /a whole number from 1 to 16/],
  ["add_attention", "yes", /true or false/],
  ["attention_head_dim", 0, /a whole number from 1/],
  ["attention_head_dim", 48, /a divisor of the channels of every level with attention \(256 at level 1\)/],
  ["norm_num_groups", 0, /a whole number from 1/],
  ["norm_eps", 0, /a positive number/],
  ["norm_eps", "1e-6", /a positive number/],
  ["downsample_padding", 2, /0 or 1/],
  ["flip_sin_to_cos", 1, /true or false/],
  ["freq_shift", "1", /a number below half the first level's channels \(64\)/],
  ["freq_shift", 64, /a number below/],
  ["num_class_embeds", 0, /a whole number from 1/],
  ["dropout", 1, /a number in \[0, 1\)/],
  ["dropout", "0.1", /a number in \[0, 1\)/],
];

for (const [field, value, allowed = /expected/] of refused) {
  Deno.test(`refused by name, with what is allowed: ${field} ${showValue(value)}`, () => {
    assert.throws(() => unetConfigFromJson({ ...reference, [field]: value }), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.field, field);
      assert.match(error.message, allowed);
      return true;
    });
  });
}

Deno.test("embeddings of timesteps and classes need what says their sizes, and one excludes the other", () => {
  const refusal = (json: object) => {
    let message = "";
    assert.throws(() => unetConfigFromJson({ ...reference, ...json }), (error: Error) => {
      message = error.message;
      return error instanceof ConfigError;
    });
    return message;
  };
  const learned = { time_embedding_type: "learned" };
  assert.match(refusal(learned), /^num_train_timesteps: expected a whole number from 1 to 100000/);
  const numbered = { class_embed_type: "timestep" };
  assert.match(
    refusal(numbered),
    /^num_class_embeds: expected the number of classes with class_embed_type "timestep"/,
  );
  assert.match(
    refusal({ ...learned, ...numbered, num_train_timesteps: 9, num_class_embeds: 3 }),
    /^class_embed_type: expected null with time_embedding_type learned/,
  );
  const { numTrainTimesteps } = unetConfigFromJson({ ...reference, num_train_timesteps: 1000 });
  assert.equal(numTrainTimesteps, null, "sinusoids have no table");
});

Deno.test("groups wider than a workgroup are refused, also where a skip connection makes them so", () => {
  const wide = (channels: number) => ({
    ...reference,
    ...{ norm_num_groups: 1, attention_head_dim: 8, block_out_channels: Array(4).fill(channels) },
  });
  assert.equal(unetConfigFromJson(wide(512)).normNumGroups, 1);
  assert.throws(() => unetConfigFromJson(wide(516)), {
    name: "ConfigError",
    message:
      "norm_num_groups: expected smaller groups: groups of 1032 channels need 1032 channels in a workgroup, " +
      "1024 are allowed, got 1",
  });
});

Deno.test("an odd first level is refused, because the timestep embedding takes sines and cosines by halves", () => {
  const json = { ...reference, norm_num_groups: 5, block_out_channels: [15, 20, 20, 20] };
  assert.throws(() => unetConfigFromJson(json), /block_out_channels: expected an even first entry/);
});

Deno.test("image size and number of classes follow from the configuration", () => {
  const config = unetConfig({
    sampleSize: [16, 24],
    blockOutChannels: [32],
    downBlockTypes: ["DownBlock2D"],
    upBlockTypes: ["UpBlock2D"],
    numClassEmbeds: 11,
  });
  assert.deepEqual(imageSize(config), [16, 24]);
  assert.deepEqual(imageSize({ sampleSize: 32 }), [32, 32]);
  assert.equal(classCount(config), 10);
  assert.equal(classCount({ numClassEmbeds: null }), 0);
});
