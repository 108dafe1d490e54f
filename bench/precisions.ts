/**
 * Alternating measurements of a network in float32 and in mixed precision.
 *
 * @module
 */
import type { Gpu } from "../lib/gpu/device.ts";
import type { Precision } from "../lib/model/precision.ts";
import type { Tuning } from "../lib/tuning/tuning.ts";
import { calibrate, type Effort, measureAgainst } from "./measure.ts";
import { buildTrainer } from "./training.ts";
import { buildSampler, type SamplingShape } from "./sampling.ts";
import { modelConfig, preparePrecision } from "./models.ts";

/** A row of the precision table. */
export interface PrecisionRow {
  readonly kind: "training" | "sampling";
  readonly model: string;
  readonly batch: number;
  /** Median of one step of the whole batch. */
  readonly float32Milliseconds: number;
  readonly mixedMilliseconds: number;
  /** Speedup of mixed precision over float32: the median over neighbouring measurements. */
  readonly toFloat32: number;
}

/** Networks measured in both precisions. */
export const IN_MIXED: readonly (readonly [PrecisionRow["kind"], string])[] = [
  ["training", "small"],
  ["training", "ddpm"],
  ["sampling", "tiny"],
  ["sampling", "small"],
  ["sampling", "ddpm"],
];

/**
 * Measures steps of a network in both precisions.
 *
 * @throws {ConfigError} if the adapter has no matrix units
 * @throws {DeviceError} if both do not fit the device at once
 */
export async function measurePrecisions(
  gpu: Gpu,
  kind: PrecisionRow["kind"],
  model: string,
  shape: SamplingShape,
  { tuning, effort }: { readonly tuning: Tuning; readonly effort: Effort },
): Promise<PrecisionRow> {
  await preparePrecision(gpu, "mixed");
  const config = modelConfig(model);
  const build = (precision: Precision) =>
    kind === "training"
      ? buildTrainer(gpu, config, shape.batch, tuning, precision)
      : buildSampler(gpu, config, shape, tuning, precision);
  const full = await build("float32");
  try {
    const mixed = await build("mixed");
    try {
      const count = await calibrate(gpu, full.work, effort.seconds);
      const reference = { work: full.work, units: 1, count };
      const { seconds, referenceRate, ratio } = await measureAgainst(gpu, mixed.work, 1, reference, effort);
      return {
        kind,
        model,
        batch: shape.batch,
        float32Milliseconds: 1000 / referenceRate,
        mixedMilliseconds: 1000 * seconds,
        toFloat32: ratio,
      };
    } finally {
      mixed.destroy();
    }
  } finally {
    full.destroy();
  }
}
