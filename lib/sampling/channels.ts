/**
 * Channels of networks that can be sampled.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { UNetConfig } from "../model/config.ts";

type Channels = Pick<UNetConfig, "inChannels" | "outChannels">;

/**
 * Checks that a network's outputs are images, or images and the variance of each channel (Nichol and Dhariwal 2021).
 *
 * @throws {ConfigError} naming the channels
 */
export function checkOutChannels({ inChannels, outChannels }: Channels): void {
  if (outChannels === inChannels || outChannels === 2 * inChannels) return;
  const allowed = `${inChannels}, as in_channels, or ${2 * inChannels} with a learned variance`;
  throw new ConfigError("out_channels", outChannels, allowed);
}

/**
 * Checks that the channels of a network are those of pictures.
 *
 * @throws {ConfigError} naming the channels
 */
export function checkPictureChannels(config: Channels): void {
  if (config.inChannels !== 1 && config.inChannels !== 3) {
    throw new ConfigError("in_channels", config.inChannels, "1 (grey) or 3 (RGB): pictures have no others");
  }
  checkOutChannels(config);
}
