/**
 * Checks of a U-Net's configuration. Fields are named as in diffusers' `config.json`.
 *
 * @module
 */
import { ACTIVATIONS } from "../../kernels/activation_source.ts";
import { groupNormFault } from "../../kernels/group_norm.ts";
import { checkWhole } from "../checks.ts";
import { ConfigError } from "../errors.ts";
import {
  DOWN_BLOCKS,
  imageSize,
  RESAMPLINGS,
  TIME_EMBEDDINGS,
  TIME_SCALE_SHIFTS,
  type UNetConfig,
  UP_BLOCKS,
} from "./config_fields.ts";

/**
 * Checks every field.
 * @throws {ConfigError} naming the first invalid field
 */
export function checkConfig(config: UNetConfig): void {
  const levels = config.blockOutChannels.length;
  for (const size of imageSize(config)) checkWhole("sample_size", size, 1, 4096);
  checkWhole("in_channels", config.inChannels, 1, 64);
  checkWhole("out_channels", config.outChannels, 1, 64);
  requireBoolean("self_conditioning", config.selfConditioning);
  if (config.selfConditioning && config.inChannels % 2 !== 0) {
    throw new ConfigError("in_channels", config.inChannels, "an even number with self_conditioning");
  }
  checkWhole("layers_per_block", config.layersPerBlock, 1, 16);
  checkWhole("norm_num_groups", config.normNumGroups, 1, 4096);
  if (config.attentionHeadDim !== null) {
    checkWhole("attention_head_dim", config.attentionHeadDim, 1, 4096);
  }
  if (levels < 1 || levels > 8) {
    throw new ConfigError("block_out_channels", `${levels} entries`, "1 to 8 entries");
  }
  for (const channels of config.blockOutChannels) {
    checkWhole("block_out_channels", channels, 1, 4096);
    if (channels % config.normNumGroups !== 0) {
      throw new ConfigError(
        "block_out_channels",
        channels,
        `multiples of norm_num_groups (${config.normNumGroups})`,
      );
    }
  }
  for (const channels of normalisedChannels(config)) {
    const fault = groupNormFault(channels, config.normNumGroups);
    if (fault !== undefined) {
      throw new ConfigError("norm_num_groups", config.normNumGroups, `smaller groups: ${fault}`);
    }
  }
  if (config.blockOutChannels[0]! % 2 !== 0) {
    throw new ConfigError(
      "block_out_channels",
      config.blockOutChannels[0],
      "an even first entry, for the timestep embedding",
    );
  }
  requireBlocks("down_block_types", config.downBlockTypes, DOWN_BLOCKS, levels);
  requireBlocks("up_block_types", config.upBlockTypes, UP_BLOCKS, levels);
  config.blockOutChannels.forEach((channels, level) => {
    if (
      config.attentionHeadDim !== null && hasAttention(config, level) &&
      channels % config.attentionHeadDim !== 0
    ) {
      throw new ConfigError(
        "attention_head_dim",
        config.attentionHeadDim,
        `a divisor of the channels of every level with attention (${channels} at level ${level})`,
      );
    }
  });
  requireBoolean("center_input_sample", config.centerInputSample);
  requireBoolean("add_attention", config.addAttention);
  requireBoolean("flip_sin_to_cos", config.flipSinToCos);
  if (config.numClassEmbeds !== null) checkWhole("num_class_embeds", config.numClassEmbeds, 1, 100_000);
  if (config.downsamplePadding !== 0 && config.downsamplePadding !== 1) {
    throw new ConfigError("downsample_padding", config.downsamplePadding, "0 or 1");
  }
  const { normEps, dropout, freqShift, midBlockScaleFactor } = config;
  if (!(Number.isFinite(midBlockScaleFactor) && midBlockScaleFactor > 0)) {
    throw new ConfigError("mid_block_scale_factor", midBlockScaleFactor, "a positive number");
  }
  if (!(Number.isFinite(normEps) && normEps > 0)) {
    throw new ConfigError("norm_eps", normEps, "a positive number");
  }
  if (!(Number.isFinite(dropout) && dropout >= 0 && dropout < 1)) {
    throw new ConfigError("dropout", dropout, "a number in [0, 1)");
  }
  const half = config.blockOutChannels[0]! / 2;
  if (!Number.isFinite(freqShift) || freqShift >= half) {
    throw new ConfigError(
      "freq_shift",
      freqShift,
      `a number below half the first level's channels (${half})`,
    );
  }
  checkVariants(config);
  checkEmbeddings(config);
  const divisor = 2 ** (levels - 1);
  for (const size of imageSize(config)) {
    if (size % divisor !== 0) {
      throw new ConfigError(
        "sample_size",
        size,
        `a multiple of ${divisor}, since ${levels} levels halve it ${levels - 1} times`,
      );
    }
  }
}

/** Checks the fields that choose between kinds of blocks. */
function checkVariants(config: UNetConfig): void {
  const { attnNormNumGroups, timeEmbeddingDim, midBlockType } = config;
  requireOneOf("act_fn", config.activation, ACTIVATIONS);
  requireOneOf("resnet_time_scale_shift", config.resnetTimeScaleShift, TIME_SCALE_SHIFTS);
  requireOneOf("downsample_type", config.downsampleType, RESAMPLINGS);
  requireOneOf("upsample_type", config.upsampleType, RESAMPLINGS);
  if (midBlockType !== null) requireOneOf("mid_block_type", midBlockType, ["UNetMidBlock2D", null]);
  if (timeEmbeddingDim !== null) checkWhole("time_embedding_dim", timeEmbeddingDim, 1, 65536);
  if (attnNormNumGroups === null) return;
  checkWhole("attn_norm_num_groups", attnNormNumGroups, 1, 4096);
  const fault = groupNormFault(config.blockOutChannels.at(-1)!, attnNormNumGroups);
  if (fault !== undefined) {
    throw new ConfigError(
      "attn_norm_num_groups",
      attnNormNumGroups,
      `a number of groups that fits: ${fault}`,
    );
  }
}

/** Checks how timesteps and classes become vectors. */
function checkEmbeddings(config: UNetConfig): void {
  const { timeEmbeddingType, numTrainTimesteps, classEmbedType, numClassEmbeds } = config;
  requireOneOf("time_embedding_type", timeEmbeddingType, TIME_EMBEDDINGS);
  if (timeEmbeddingType === "learned") {
    checkWhole("num_train_timesteps", numTrainTimesteps!, 1, 100_000);
  }
  requireOneOf("class_embed_type", classEmbedType, [null, "timestep"], {
    identity: "takes vectors for classes, which have numbers here",
  });
  if (classEmbedType !== "timestep") return;
  if (timeEmbeddingType !== "positional") {
    throw new ConfigError(
      "class_embed_type",
      classEmbedType,
      `null with time_embedding_type ${timeEmbeddingType}`,
    );
  }
  if (numClassEmbeds === null) {
    throw new ConfigError(
      "num_class_embeds",
      null,
      'the number of classes with class_embed_type "timestep", which has no table that would tell it',
    );
  }
}

/** @param without reasons why a value that diffusers has is not allowed */
function requireOneOf(
  field: string,
  value: unknown,
  allowed: readonly unknown[],
  without: Readonly<Record<string, string>> = {},
): void {
  if (allowed.includes(value)) return;
  const values = allowed.map((each) => JSON.stringify(each)).join(" or ");
  const why = typeof value === "string" && Object.hasOwn(without, value)
    ? ` (${value} ${without[value]})`
    : "";
  throw new ConfigError(field, value, `${values}${why}`);
}

/** Channel counts of all group normalizations: those of the levels, and on the way up their sums with those of the skips. */
function normalisedChannels({ blockOutChannels: channels, layersPerBlock }: UNetConfig): Set<number> {
  const last = channels.length - 1;
  const skips = [channels[0]];
  channels.forEach((width, level) => {
    for (let block = 0; block < layersPerBlock; block++) skips.push(width);
    if (level < last) skips.push(width);
  });
  const seen = new Set<number>(channels);
  let width = channels[last]!;
  for (let level = last; level >= 0; level--) {
    for (let block = 0; block <= layersPerBlock; block++) {
      seen.add(width + skips.pop()!);
      width = channels[level]!;
    }
  }
  return seen;
}

/** True if a level has attention; the middle counts with the last level. */
function hasAttention(config: UNetConfig, level: number): boolean {
  const last = config.blockOutChannels.length - 1;
  return config.downBlockTypes[level] === "AttnDownBlock2D" ||
    config.upBlockTypes[last - level] === "AttnUpBlock2D" ||
    (config.midBlockType !== null && config.addAttention && level === last);
}

function requireBoolean(field: string, value: unknown): void {
  if (typeof value !== "boolean") throw new ConfigError(field, value, "true or false");
}

function requireBlocks(
  field: string,
  types: readonly string[],
  allowed: readonly string[],
  levels: number,
): void {
  if (types.length !== levels) {
    throw new ConfigError(field, `${types.length} entries`, `${levels}, as many as block_out_channels`);
  }
  for (const type of types) {
    if (!allowed.includes(type)) throw new ConfigError(field, type, allowed.join(" or "));
  }
}
