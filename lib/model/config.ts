/**
 * Configuration of the U-Net: types, checks, and conversion from and to the `config.json` of diffusers' `UNet2DModel`.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { checkConfig } from "./config_checks.ts";
import { ACTIVATION_NAMES } from "./config_fields.ts";
import type {
  DownBlockType,
  Resampling,
  TimeEmbeddingType,
  TimeScaleShift,
  UNetConfig,
  UpBlockType,
} from "./config_fields.ts";

export { imageChannels, imageSize } from "./config_fields.ts";
export type {
  DownBlockType,
  Resampling,
  TimeEmbeddingType,
  TimeScaleShift,
  UNetConfig,
  UpBlockType,
} from "./config_fields.ts";

/** Default values, those of the reference model (Ho et al. 2020); the shape has none. */
const REFERENCE = {
  inChannels: 3,
  outChannels: 3,
  selfConditioning: false,
  layersPerBlock: 2,
  addAttention: true,
  attentionHeadDim: null,
  normNumGroups: 32,
  normEps: 1e-6,
  downsamplePadding: 0,
  timeEmbeddingType: "positional",
  numTrainTimesteps: null,
  classEmbedType: null,
  flipSinToCos: false,
  freqShift: 1,
  numClassEmbeds: null,
  dropout: 0,
  activation: "silu",
  resnetTimeScaleShift: "default",
  downsampleType: "conv",
  upsampleType: "conv",
  midBlockType: "UNetMidBlock2D",
  attnNormNumGroups: null,
  timeEmbeddingDim: null,
  centerInputSample: false,
  midBlockScaleFactor: 1,
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
  checkConfig(config);
  return config;
}

/** Number of classes, without the null class of classifier-free guidance; 0 if unconditional. */
export function classCount({ numClassEmbeds }: Pick<UNetConfig, "numClassEmbeds">): number {
  return numClassEmbeds === null ? 0 : numClassEmbeds - 1;
}

/**
 * Reads diffusers' `config.json`.
 *
 * @param json the parsed file; absent fields take diffusers' defaults
 * @throws {ConfigError} naming the first field with an unsupported value
 */
export function unetConfigFromJson(json: Readonly<Record<string, unknown>>): UNetConfig {
  if (json._class_name !== undefined && json._class_name !== "UNet2DModel") {
    throw new ConfigError("_class_name", json._class_name, '"UNet2DModel"');
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
    timeEmbeddingType: (json.time_embedding_type ?? "positional") as TimeEmbeddingType,
    numTrainTimesteps: json.time_embedding_type === "learned" ? json.num_train_timesteps as number : null,
    classEmbedType: (json.class_embed_type ?? null) as UNetConfig["classEmbedType"],
    flipSinToCos: (json.flip_sin_to_cos ?? true) as boolean,
    freqShift: (json.freq_shift ?? 0) as number,
    numClassEmbeds: (json.num_class_embeds ?? null) as number | null,
    dropout: (json.dropout ?? 0) as number,
    activation: activationFromJson(json.act_fn),
    resnetTimeScaleShift: (json.resnet_time_scale_shift ?? "default") as TimeScaleShift,
    downsampleType: (json.downsample_type ?? "conv") as Resampling,
    upsampleType: (json.upsample_type ?? "conv") as Resampling,
    // Absent means a middle, null none.
    midBlockType: (json.mid_block_type === undefined ? "UNetMidBlock2D" : json.mid_block_type) as UNetConfig[
      "midBlockType"
    ],
    attnNormNumGroups: (json.attn_norm_num_groups ?? null) as number | null,
    centerInputSample: (json.center_input_sample ?? false) as boolean,
    midBlockScaleFactor: (json.mid_block_scale_factor ?? 1) as number,
    timeEmbeddingDim: (json.time_embedding_dim ?? null) as number | null,
    selfConditioning: (json.self_conditioning ?? false) as boolean,
  });
}

/** diffusers reads names in any case. */
function activationFromJson(name: unknown = "silu"): UNetConfig["activation"] {
  const activation = ACTIVATION_NAMES[String(name).toLowerCase()];
  if (activation) return activation;
  throw new ConfigError(
    "act_fn",
    name,
    Object.keys(ACTIVATION_NAMES).map((each) => JSON.stringify(each)).join(" or "),
  );
}

/** Fields with a default that diffusers has as well, or without a counterpart there: files leave the default out. */
const OPTIONAL = {
  resnet_time_scale_shift: "resnetTimeScaleShift",
  downsample_type: "downsampleType",
  upsample_type: "upsampleType",
  mid_block_type: "midBlockType",
  attn_norm_num_groups: "attnNormNumGroups",
  time_embedding_dim: "timeEmbeddingDim",
  time_embedding_type: "timeEmbeddingType",
  num_train_timesteps: "numTrainTimesteps",
  class_embed_type: "classEmbedType",
  self_conditioning: "selfConditioning",
} as const satisfies Record<string, keyof typeof REFERENCE>;

/** Writes diffusers' `config.json`. */
export function unetConfigToJson(config: UNetConfig): Record<string, unknown> {
  return {
    _class_name: "UNet2DModel",
    act_fn: config.activation,
    add_attention: config.addAttention,
    attention_head_dim: config.attentionHeadDim,
    block_out_channels: config.blockOutChannels,
    center_input_sample: config.centerInputSample,
    down_block_types: config.downBlockTypes,
    downsample_padding: config.downsamplePadding,
    dropout: config.dropout,
    flip_sin_to_cos: config.flipSinToCos,
    freq_shift: config.freqShift,
    in_channels: config.inChannels,
    layers_per_block: config.layersPerBlock,
    mid_block_scale_factor: config.midBlockScaleFactor,
    norm_eps: config.normEps,
    norm_num_groups: config.normNumGroups,
    num_class_embeds: config.numClassEmbeds,
    out_channels: config.outChannels,
    sample_size: config.sampleSize,
    time_embedding_type: "positional",
    up_block_types: config.upBlockTypes,
    ...Object.fromEntries(
      // Runs stored before a field existed have none.
      Object.entries(OPTIONAL).flatMap(([field, name]) =>
        config[name] === undefined || config[name] === REFERENCE[name] ? [] : [[field, config[name]]]
      ),
    ),
  };
}
