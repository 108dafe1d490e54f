/**
 * Networks of the benchmark.
 *
 * @module
 */
import type { Gpu } from "../lib/gpu/device.ts";
import { type UNetConfig, unetConfig } from "../lib/model/config.ts";
import { checkPrecision, type Precision, prepareMatrices } from "../lib/model/precision.ts";
import { CIFAR10_PRESETS, presetConfig } from "../lib/model/presets.ts";
import type { Tuning } from "../lib/tuning/tuning.ts";
import type { Effort, Reference } from "./measure.ts";

/** Classes of the networks, as in CIFAR-10. */
export const CLASSES = 10;

/** Names of the networks, smallest first. */
export const MODELS: readonly string[] = ["floor", ...CIFAR10_PRESETS];

/** Configuration of a network of {@linkcode MODELS}. */
export function modelConfig(name: string): UNetConfig {
  if (name !== "floor") return presetConfig(name, CLASSES);
  // The speed floor is stated for this network: 32 channels x (1,2,2), one block per level, attention only in the middle.
  return unetConfig({
    sampleSize: 32,
    blockOutChannels: [32, 64, 64],
    downBlockTypes: ["DownBlock2D", "DownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "UpBlock2D", "UpBlock2D"],
    layersPerBlock: 1,
  });
}

/**
 * Checks that a device supports a precision, and its matrix units if the precision uses them. Describe the device afterwards:
 * until then it lists units that may be rejected.
 *
 * @throws {ConfigError} if it does not
 */
export async function preparePrecision(
  gpu: Gpu,
  precision: Precision,
  onWarning?: (message: string) => void,
): Promise<void> {
  await prepareMatrices(gpu, precision, onWarning);
  checkPrecision(gpu.adapter, precision);
}

/** A network in a row. */
export interface MeasuredNetwork {
  readonly model: string;
  /** Absent in float32. */
  readonly precision?: "mixed";
}

/** A network's name in tables, e.g. `ddpm` or `ddpm mixed`. */
export function networkName({ model, precision }: MeasuredNetwork): string {
  return precision === undefined ? model : `${model} ${precision}`;
}

/** A network to measure in a precision. */
export function measuredNetwork(model: string, precision: Precision): MeasuredNetwork {
  return precision === "mixed" ? { model, precision } : { model };
}

/** Tuning, precision, reference rate and effort of network measurements. */
export interface NetworkMeasurementContext {
  readonly precision: Precision;
  readonly tuning: Tuning;
  readonly fma: Reference;
  readonly effort: Effort;
}
