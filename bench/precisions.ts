/**
 * The same network in float32 and in float16, measured alternately.
 *
 * @module
 */
import type { Gpu } from "../lib/gpu/device.ts";
import { checkPrecision, type Precision } from "../lib/model/precision.ts";
import type { Tuning } from "../lib/tuning/tuning.ts";
import { calibrate, type Effort, measureAgainst } from "./measure.ts";
import { buildSampler, buildTrainer, modelConfig, type SamplingShape } from "./models.ts";

/** A line of the table of precisions. */
export interface PrecisionRow {
  /** What was done with the network. */
  readonly kind: "training" | "sampling";
  readonly model: string;
  readonly batch: number;
  /** Medians of one step of the batch. */
  readonly float32Milliseconds: number;
  readonly float16Milliseconds: number;
  /** Speed in float16 over speed in float32, the median over neighbouring measurements: above 1 is faster. */
  readonly toFloat32: number;
}

/** What is measured in both: steps that are worth training with, and a network that is drawn with in seconds. */
export const IN_FLOAT16: Readonly<
  Record<"software" | "gpu", readonly (readonly [PrecisionRow["kind"], string])[]>
> = {
  software: [["training", "small"], ["sampling", "tiny"]],
  gpu: [["training", "small"], ["training", "ddpm"], ["sampling", "tiny"]],
};

/**
 * Measures steps of a network in both precisions.
 *
 * @throws {ConfigError} where the adapter has no float16
 * @throws {DeviceError} where it cannot hold both at once
 */
export async function measurePrecisions(
  gpu: Gpu,
  kind: PrecisionRow["kind"],
  model: string,
  shape: SamplingShape,
  { tuning, effort }: { readonly tuning: Tuning; readonly effort: Effort },
): Promise<PrecisionRow> {
  checkPrecision(gpu, "float16");
  const config = modelConfig(model);
  const build = (precision: Precision) =>
    kind === "training"
      ? buildTrainer(gpu, config, shape.batch, tuning, precision)
      : buildSampler(gpu, config, shape, tuning, precision);
  const full = await build("float32");
  try {
    const half = await build("float16");
    try {
      const count = await calibrate(gpu, full.work, effort.seconds);
      const reference = { work: full.work, units: 1, count };
      const { seconds, referenceRate, ratio } = await measureAgainst(gpu, half.work, 1, reference, effort);
      return {
        kind,
        model,
        batch: shape.batch,
        float32Milliseconds: 1000 / referenceRate,
        float16Milliseconds: 1000 * seconds,
        toFloat32: ratio,
      };
    } finally {
      half.destroy();
    }
  } finally {
    full.destroy();
  }
}
