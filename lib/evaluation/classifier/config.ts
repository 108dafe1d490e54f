/**
 * Configuration of the classifier in whose features samples are evaluated.
 *
 * @module
 */
import { checkWhole } from "../../checks.ts";
import { ConfigError } from "../../errors.ts";

/** Residual blocks at one resolution. */
export interface ClassifierStage {
  /** Channels, a multiple of the network's groups. */
  readonly channels: number;
  /** Residual blocks of two convolutions; 0 or more. */
  readonly blocks: number;
}

/** Configuration of a classifier. */
export interface ClassifierConfig {
  /** Height and width of the images. */
  readonly imageSize: number;
  /** Class names in the order of their labels. */
  readonly classes: readonly string[];
  /** Groups of every group normalization. */
  readonly groups: number;
  /** Stages, each at half the resolution of the one before. The channels of the last one are the features. */
  readonly stages: readonly ClassifierStage[];
}

/**
 * Checks a configuration.
 * @throws {ConfigError} naming the field
 */
export function checkClassifierConfig(config: ClassifierConfig): void {
  const { imageSize, classes, groups, stages } = config;
  checkWhole("imageSize", imageSize, 1, 4096);
  checkWhole("classes", classes.length, 1, 256);
  checkWhole("groups", groups, 1, 4096);
  checkWhole("stages", stages.length, 1, 8);
  for (const { channels, blocks } of stages) {
    checkWhole("channels", channels, 1, 8192);
    checkWhole("blocks", blocks, 0, 64);
    if (channels % groups !== 0) {
      throw new ConfigError("channels", channels, `a multiple of the ${groups} groups`);
    }
  }
}

/** Number of features: channels of the last stage. */
export function featureCount({ stages }: ClassifierConfig): number {
  return stages.at(-1)!.channels; // checkClassifierConfig: at least one
}

/** JSON form of a configuration, in the file `config.json` of a classifier. */
export function classifierConfigToJson(config: ClassifierConfig): Record<string, unknown> {
  const { imageSize, classes, groups, stages } = config;
  return { image_size: imageSize, classes, norm_num_groups: groups, stages };
}

/**
 * Reads {@linkcode classifierConfigToJson}'s form; other keys are ignored.
 * @throws {ConfigError} naming a field that is missing or out of range
 */
export function classifierConfigFromJson(json: Readonly<Record<string, unknown>>): ClassifierConfig {
  const { image_size: imageSize, classes, norm_num_groups: groups, stages } = json;
  if (!Array.isArray(classes) || !classes.every((name) => typeof name === "string")) {
    throw new ConfigError("classes", classes, "a list of class names");
  }
  if (!Array.isArray(stages)) throw new ConfigError("stages", stages, "a list of channels and blocks");
  const config: ClassifierConfig = {
    imageSize: Number(imageSize),
    classes,
    groups: Number(groups),
    stages: stages.map((stage) => ({ channels: Number(stage?.channels), blocks: Number(stage?.blocks) })),
  };
  checkClassifierConfig(config);
  return config;
}
