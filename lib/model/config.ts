/**
 * Configuration of the U-Net: types, checks, and conversion from and to the `config.json` of diffusers' `UNet2DModel`.
 *
 * @module
 */
import { checkWhole } from "../checks.ts";
import { groupNormFault } from "../../kernels/group_norm.ts";
import { ConfigError } from "../errors.ts";

/** Downsampling block; `AttnDownBlock2D` has attention after each residual block. */
export type DownBlockType = "DownBlock2D" | "AttnDownBlock2D";
/** Upsampling block; `AttnUpBlock2D` has attention after each residual block. */
export type UpBlockType = "UpBlock2D" | "AttnUpBlock2D";

/** Configuration of a U-Net, with diffusers' field names (camelCase here, snake_case in `config.json`). */
export interface UNetConfig {
  /** Height and width of the images, or one number for both. */
  readonly sampleSize: number | readonly [height: number, width: number];
  /** Channels of the images, 3 for RGB. */
  readonly inChannels: number;
  /** Channels of the prediction; equal to those of the images unless the variance is learned. */
  readonly outChannels: number;
  /** Channels of each level, full resolution first. */
  readonly blockOutChannels: readonly number[];
  /** Downsampling blocks, one per level, full resolution first. */
  readonly downBlockTypes: readonly DownBlockType[];
  /** Upsampling blocks, one per level, lowest resolution first. */
  readonly upBlockTypes: readonly UpBlockType[];
  /** Residual blocks per downsampling block; an upsampling block has one more. */
  readonly layersPerBlock: number;
  /** Attention between the two residual blocks of the middle. */
  readonly addAttention: boolean;
  /** Channels per attention head, or null for a single head over all channels. */
  readonly attentionHeadDim: number | null;
  /** Groups of every group normalization; must divide the channels of each level. */
  readonly normNumGroups: number;
  /** Added to the variance in group normalization, above 0; 1e-6 in the reference model. */
  readonly normEps: number;
  /** Zero padding at the top and left of downsampling convolutions: 1, or 0 for padding at the bottom and right instead. */
  readonly downsamplePadding: 0 | 1;
  /** Cosines before sines in the timestep embedding. */
  readonly flipSinToCos: boolean;
  /** Subtracted from half the embedding's length in the exponent of the frequencies. */
  readonly freqShift: number;
  /** Rows of the class embedding table (all classes, then the null class), or null for an unconditional network. */
  readonly numClassEmbeds: number | null;
  /** Dropout rate in the residual blocks during training. */
  readonly dropout: number;
}

/** Default values, those of the reference model (Ho et al. 2020); the shape has none. */
const REFERENCE = {
  inChannels: 3,
  outChannels: 3,
  layersPerBlock: 2,
  addAttention: true,
  attentionHeadDim: null,
  normNumGroups: 32,
  normEps: 1e-6,
  downsamplePadding: 0,
  flipSinToCos: false,
  freqShift: 1,
  numClassEmbeds: null,
  dropout: 0,
} as const;

/** Options of {@linkcode unetConfig}: the shape is required, all else defaults to the reference model. */
export type UNetOptions =
  & Partial<UNetConfig>
  & Pick<UNetConfig, "sampleSize" | "blockOutChannels" | "downBlockTypes" | "upBlockTypes">;

/**
 * Fills in defaults and checks every field.
 * @throws {ConfigError} naming the first invalid field
 */
export function unetConfig(options: UNetOptions): UNetConfig {
  const config: UNetConfig = { ...REFERENCE, ...options };
  const levels = config.blockOutChannels.length;
  for (const size of imageSize(config)) checkWhole("sample_size", size, 1, 4096);
  checkWhole("in_channels", config.inChannels, 1, 64);
  checkWhole("out_channels", config.outChannels, 1, 64);
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
  requireBlocks("down_block_types", config.downBlockTypes, ["DownBlock2D", "AttnDownBlock2D"], levels);
  requireBlocks("up_block_types", config.upBlockTypes, ["UpBlock2D", "AttnUpBlock2D"], levels);
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
  requireBoolean("add_attention", config.addAttention);
  requireBoolean("flip_sin_to_cos", config.flipSinToCos);
  if (config.numClassEmbeds !== null) checkWhole("num_class_embeds", config.numClassEmbeds, 1, 100_000);
  if (config.downsamplePadding !== 0 && config.downsamplePadding !== 1) {
    throw new ConfigError("downsample_padding", config.downsamplePadding, "0 or 1");
  }
  const { normEps, dropout, freqShift } = config;
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
  return config;
}

/** Height and width of the images. */
export function imageSize(
  { sampleSize }: Pick<UNetConfig, "sampleSize">,
): readonly [height: number, width: number] {
  return typeof sampleSize === "number" ? [sampleSize, sampleSize] : sampleSize;
}

/** Number of classes, without the null class of classifier-free guidance; 0 if unconditional. */
export function classCount({ numClassEmbeds }: Pick<UNetConfig, "numClassEmbeds">): number {
  return numClassEmbeds === null ? 0 : numClassEmbeds - 1;
}

/** Fields of `config.json` with a single supported meaning, and the values that express it. */
const ONLY: Readonly<Record<string, readonly unknown[]>> = {
  _class_name: ["UNet2DModel"],
  act_fn: ["silu", "swish"],
  center_input_sample: [false],
  time_embedding_type: ["positional"],
  mid_block_scale_factor: [1],
  mid_block_type: ["UNetMidBlock2D"],
  downsample_type: ["conv"],
  upsample_type: ["conv"],
  resnet_time_scale_shift: ["default"],
  class_embed_type: [null],
  time_embedding_dim: [null],
  attn_norm_num_groups: [null],
};

/**
 * Reads diffusers' `config.json`.
 *
 * @param json the parsed file; absent fields take diffusers' defaults
 * @throws {ConfigError} naming the first field with an unsupported value
 */
export function unetConfigFromJson(json: Readonly<Record<string, unknown>>): UNetConfig {
  for (const [field, allowed] of Object.entries(ONLY)) {
    if (json[field] !== undefined && !allowed.includes(json[field])) {
      throw new ConfigError(field, json[field], allowed.map((value) => JSON.stringify(value)).join(" or "));
    }
  }
  const size = json.sample_size;
  if (typeof size !== "number" && !(Array.isArray(size) && size.length === 2)) {
    throw new ConfigError("sample_size", size, "a number or [height, width]");
  }
  const list = (field: string): unknown[] => {
    const value = json[field];
    if (!Array.isArray(value)) throw new ConfigError(field, value, "a list");
    return value;
  };
  return unetConfig({
    sampleSize: size as UNetConfig["sampleSize"],
    inChannels: (json.in_channels ?? 3) as number,
    outChannels: (json.out_channels ?? 3) as number,
    blockOutChannels: list("block_out_channels") as number[],
    downBlockTypes: list("down_block_types") as DownBlockType[],
    upBlockTypes: list("up_block_types") as UpBlockType[],
    layersPerBlock: (json.layers_per_block ?? 2) as number,
    addAttention: (json.add_attention ?? true) as boolean,
    // Absent means 8 channels per head in diffusers, unlike null, which means one head.
    attentionHeadDim: (json.attention_head_dim === undefined ? 8 : json.attention_head_dim) as number | null,
    normNumGroups: (json.norm_num_groups ?? 32) as number,
    normEps: (json.norm_eps ?? 1e-5) as number,
    downsamplePadding: (json.downsample_padding ?? 1) as 0 | 1,
    flipSinToCos: (json.flip_sin_to_cos ?? true) as boolean,
    freqShift: (json.freq_shift ?? 0) as number,
    numClassEmbeds: (json.num_class_embeds ?? null) as number | null,
    dropout: (json.dropout ?? 0) as number,
  });
}

/** Writes diffusers' `config.json`. */
export function unetConfigToJson(config: UNetConfig): Record<string, unknown> {
  return {
    _class_name: "UNet2DModel",
    act_fn: "silu",
    add_attention: config.addAttention,
    attention_head_dim: config.attentionHeadDim,
    block_out_channels: config.blockOutChannels,
    center_input_sample: false,
    down_block_types: config.downBlockTypes,
    downsample_padding: config.downsamplePadding,
    dropout: config.dropout,
    flip_sin_to_cos: config.flipSinToCos,
    freq_shift: config.freqShift,
    in_channels: config.inChannels,
    layers_per_block: config.layersPerBlock,
    mid_block_scale_factor: 1,
    norm_eps: config.normEps,
    norm_num_groups: config.normNumGroups,
    num_class_embeds: config.numClassEmbeds,
    out_channels: config.outChannels,
    sample_size: config.sampleSize,
    time_embedding_type: "positional",
    up_block_types: config.upBlockTypes,
  };
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
    (config.addAttention && level === last);
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
