/**
 * Next step of a slot's image, and the record of it that the kernels of a sampling step read.
 *
 * @module
 */
import type { Slot } from "../../../kernels/records/sampling.ts";
import { CLEAN } from "../../diffusion/forward_process.ts";
import { guidanceStep } from "../../diffusion/guidance.ts";
import type { PlannedStep } from "../../diffusion/sampler.ts";
import { classCount } from "../../model/config.ts";
import { splitSeed } from "../../random.ts";
import { checkGuidable, type GuidableNetwork } from "../guidable.ts";
import type { SlotImage } from "../slot_image.ts";

/** The next step of the image in a slot. */
export interface SlotStep extends SlotImage {
  /** Index of the step, from 0; step 0 starts from `start` or from noise. */
  readonly step: number;
  /** Coefficients of the step. */
  readonly coefficients: PlannedStep;
  /** The image's last step, after which what is kept has no noise. Default false. */
  readonly last?: boolean;
}

/**
 * Record of a slot's next step.
 *
 * @param network the network that is evaluated
 * @throws {ConfigError} for guidance with a network that lacks the classes it needs
 */
export function slotRecord(slot: SlotStep, network: GuidableNetwork): Slot {
  checkGuidable(slot, network);
  const { seed, step, start, coefficients } = slot;
  const [seedLo, seedHi] = splitSeed(seed);
  const nullLabel = classCount(network.config);
  const { noiseRatio } = coefficients;
  const { terms, guideTerms, rescale } = guidanceStep(slot, noiseRatio, nullLabel, !!network.guide);
  const { signal: knownSignal, noise: knownNoise } = knownLevel(slot);
  return {
    step,
    // The noise would replace the image that the slot starts from.
    coefficients: step === 0 && start ? { ...coefficients, initialNoise: 0 } : coefficients,
    seedLo,
    seedHi,
    rows: terms,
    guideRows: guideTerms,
    rescale,
    knownSignal,
    knownNoise,
  };
}

/** Level of the known image after a step. */
function knownLevel(
  { known, last = false, coefficients: { next } }: SlotStep,
): { signal: number; noise: number } {
  if (!known) return { signal: 0, noise: 0 };
  return last ? CLEAN : next;
}
