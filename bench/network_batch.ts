/**
 * Batch sizes of the networks, as large as suits the adapter.
 *
 * @module
 */
import { DeviceError } from "../lib/errors.ts";

/** Longest step of a network, seconds; a measurement takes about ten of them. */
const LONGEST_STEP = { full: 4, quick: 1 };

/** Largest batch of each network. */
const BATCHES: Readonly<Record<"software" | "gpu", Readonly<Record<string, number>>>> = {
  software: { floor: 16, tiny: 16, small: 4, ddpm: 1 },
  gpu: { floor: 16, tiny: 128, small: 128, ddpm: 128 },
};

/** Largest batch of a network on a kind of adapter. */
export function largestBatch(model: string, software: boolean): number {
  const batch = BATCHES[software ? "software" : "gpu"][model];
  if (batch === undefined) throw new Error(`${model} has no batch size in BATCHES`);
  return batch;
}

/**
 * Largest power of two, at most {@linkcode largestBatch}, whose step is short enough.
 *
 * @param secondsPerImage estimate of a step's time
 * @throws {DeviceError} if the step of one image takes too long
 */
export function suitableBatch(
  model: string,
  secondsPerImage: number,
  { software, quick }: { readonly software: boolean; readonly quick: boolean },
): number {
  const most = largestBatch(model, software);
  if (model === "floor") return most; // the speed floor is stated for this batch
  const longest = quick ? LONGEST_STEP.quick : LONGEST_STEP.full;
  if (secondsPerImage > longest) {
    throw new DeviceError(
      `one image would take about ${
        secondsPerImage.toFixed(1)
      } s a step, more than ${longest} s; use --batch 1 to measure it anyway`,
    );
  }
  return 2 ** Math.floor(Math.log2(Math.min(most, longest / secondsPerImage)));
}
