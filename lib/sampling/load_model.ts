/**
 * Loads trained models from disk onto a device.
 *
 * @module
 */
import { openGpu } from "../gpu/open.ts";
import type { TuningOptions } from "../tuning/tuning.ts";
import { openTuning } from "../tuning/tuning_file.ts";
import { DeviceModel, type ModelOptions } from "./device_model.ts";
import { readModel } from "./read_model.ts";

/** Options of {@linkcode DDPM.load}; `tune` defaults to `off` if there is no `tuningDirectory`. */
export interface LoadModelOptions extends ModelOptions, TuningOptions {
  /**
   * A second, weaker model for autoguidance (Karras et al. 2024), such as an early checkpoint of a smaller network: guidance
   * then leads away from its outputs. It must have the same forward process, objective, size of images and classes.
   */
  readonly guide?: string;
  /** Variant of the weights, such as `fp16` or `non_ema`; by default those without a variant, else the most precise. */
  readonly variant?: string;
}

/** Loads a model; see {@linkcode DDPM.load}. */
export async function loadDeviceModel(directory: string, options: LoadModelOptions): Promise<DeviceModel> {
  const { guide, variant, tuningDirectory, tune = tuningDirectory === undefined ? "off" : "auto" } = options;
  return await DeviceModel.open({
    openGpu,
    read: (precision, onWarning) => readModel(directory, precision, { variant, onWarning }),
    ...guide === undefined
      ? {}
      : { readGuide: (precision, onWarning) => readModel(guide, precision, { onWarning }) },
    openTuning: (gpu, onWarning) => openTuning(gpu, { tune, tuningDirectory }, onWarning),
  }, options);
}
