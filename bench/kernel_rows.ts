/**
 * Kernel measurements as shares of the adapter's peak rates.
 *
 * @module
 */
import type { Gpu } from "../lib/gpu/device.ts";
import type { Tuning } from "../lib/tuning/tuning.ts";
import type { KernelCase } from "./kernels.ts";
import type { Limits } from "./limits.ts";
import { type Effort, measureAgainst, replay, timeOnce } from "./measure.ts";
import type { KernelRow } from "./report.ts";

/** Batch sizes of kernel cases, largest first: 16 is what the targets are stated for, the others are for slow adapters. */
export const BATCH_SIZES: readonly number[] = [16, 4, 1];

/** Tuning, reference rates and effort of kernel measurements. */
export interface KernelMeasurementContext {
  readonly tuning: Tuning;
  readonly limits: Limits;
  readonly effort: Effort;
}

/** Measures each part of a case. */
export async function measureKernel(
  gpu: Gpu,
  { name, prepare }: KernelCase,
  { tuning, limits, effort }: KernelMeasurementContext,
): Promise<KernelRow[]> {
  const prepared = await prepare(gpu, tuning);
  const rows: KernelRow[] = [];
  try {
    for (const { part, program, flops, bytes } of prepared.pieces) {
      const products = flops > 0;
      const [units, limit] = products ? [flops, limits.fma] : [bytes, limits.copy];
      const { seconds, ratio } = await measureAgainst(gpu, replay(gpu, program), units, limit, effort);
      const rate = units / seconds / 1e9;
      rows.push({
        name: `${name} ${part}`.trim(),
        milliseconds: 1000 * seconds,
        ...(products ? { gflops: rate } : { gigabytesPerSecond: rate }),
        ofLimit: ratio,
      });
    }
    return rows;
  } finally {
    prepared.destroy();
  }
}

/**
 * The case with the largest batch that is quick enough.
 *
 * @param sizes one case for each of {@linkcode BATCH_SIZES}
 */
export async function suitableCase(
  gpu: Gpu,
  sizes: readonly KernelCase[],
  { tuning, effort }: KernelMeasurementContext,
): Promise<KernelCase> {
  const smallest = sizes.at(-1);
  if (!smallest) throw new RangeError("expected a case for each batch size, got none");
  const seconds = await longestPiece(gpu, smallest, tuning);
  return sizes.find((_, i) => (BATCH_SIZES[i] ?? Infinity) * seconds <= 3 * effort.seconds) ?? smallest;
}

/** Seconds of the longest part of a case, including the wait for the device but not compilation. */
async function longestPiece(gpu: Gpu, kernelCase: KernelCase, tuning: Tuning): Promise<number> {
  const prepared = await kernelCase.prepare(gpu, tuning);
  try {
    let longest = 0;
    await gpu.device.queue.onSubmittedWorkDone();
    for (const { program } of prepared.pieces) {
      longest = Math.max(longest, await timeOnce(gpu, replay(gpu, program), 1));
    }
    return longest;
  } finally {
    prepared.destroy();
  }
}
