/**
 * Channels of networks that can be sampled.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { imageChannels, type UNetConfig } from "../model/config.ts";

type Channels = Pick<UNetConfig, "inChannels" | "outChannels" | "selfConditioning">;

/**
 * Checks that a network's outputs are images, or images and the variance of each channel (Nichol and Dhariwal 2021).
 *
 * @throws {ConfigError} naming the channels
 */
export function checkOutChannels(config: Channels): void {
  const { outChannels, selfConditioning } = config;
  const channels = imageChannels(config);
  if (outChannels === channels || outChannels === 2 * channels) return;
  const source = selfConditioning ? "half of in_channels, with self-conditioning" : "as in_channels";
  const allowed = `${channels}, ${source}, or ${2 * channels} with a learned variance`;
  throw new ConfigError("out_channels", outChannels, allowed);
}

/**
 * Checks that the channels of a network are those of pictures.
 *
 * @throws {ConfigError} naming the channels
 */
export function checkPictureChannels(config: Channels): void {
  const channels = imageChannels(config);
  if (channels !== 1 && channels !== 3) {
    const allowed = config.selfConditioning
      ? "2 (grey) or 6 (RGB) with self-conditioning: pictures have no others"
      : "1 (grey) or 3 (RGB): pictures have no others";
    throw new ConfigError("in_channels", config.inChannels, allowed);
  }
  checkOutChannels(config);
}
