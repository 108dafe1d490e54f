/**
 * Guidance of a network on the device: by its null class, a negative class, or a second network.
 *
 * @module
 */
import type { Guided } from "../diffusion/guidance.ts";
import { ConfigError } from "../errors.ts";
import type { UNetConfig } from "../model/config.ts";

/** A network that guides another. */
export interface GuideNetwork {
  /** The network. */
  readonly config: UNetConfig;
  /** Weights for the same precision as the guided network's. */
  readonly weights: GPUBuffer;
}

/** Properties of a network that limit its guidance. */
export interface GuidableNetwork {
  readonly config: UNetConfig;
  /** True if the last row of the class table is the null class, which guidance needs. Default true. */
  readonly nullClass?: boolean;
  /** A second network for autoguidance, with the same inputs and outputs. */
  readonly guide?: GuideNetwork;
}

/** Guidance scale that is allowed without a null class, and why, as the end of an error message. */
export const NO_GUIDANCE = '1, since the class table of this model has no row for "no class"';

/**
 * Checks that a network has the classes that an image's guidance needs.
 *
 * @throws {ConfigError} for guidance without a class table, or without a row for the null class where that is needed
 */
export function checkGuidable(
  { guidance, negative }: Pick<Guided, "guidance" | "negative">,
  { config, nullClass = true, guide }: GuidableNetwork,
): void {
  if (guidance === 1 || guide) return;
  if (config.numClassEmbeds === null) {
    throw new ConfigError("guidance", guidance, "1, since this model was trained without classes");
  }
  if (!nullClass && negative === undefined) throw new ConfigError("guidance", guidance, NO_GUIDANCE);
}
