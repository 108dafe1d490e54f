/**
 * Second models for autoguidance.
 *
 * @module
 */
import { RectifiedFlow } from "../diffusion/rectified_flow.ts";
import { NoiseSchedule } from "../diffusion/schedule.ts";
import type { TrainedProcess } from "../diffusion/trained_process.ts";
import { ConfigError } from "../errors.ts";
import { imageChannels, imageSize } from "../model/config.ts";
import type { Precision } from "../model/precision.ts";
import { readModel, type TrainedModel } from "./trained_model.ts";

/**
 * Reads a model that is to guide another.
 *
 * @param directory as for `readModel`
 * @param model the model to be guided
 * @throws {CheckpointError} naming the file, and the tensor if one is affected
 * @throws {ConfigError} naming what differs
 */
export async function readGuide(
  directory: string,
  model: Omit<TrainedModel, "flat">,
  precision: Precision,
  onWarning?: (message: string) => void,
): Promise<TrainedModel> {
  const guide = await readModel(directory, precision, { onWarning });
  for (const [what, of] of Object.entries(properties)) {
    const [own, guiding] = [of(model), of(guide)];
    if (own === guiding) continue;
    throw new ConfigError(
      "guide",
      directory,
      `a model with the ${what} ${own} of ${model.path}, not ${guiding}`,
    );
  }
  return guide;
}

type Property = (model: Omit<TrainedModel, "flat">) => string;

/** What both models must have in common. */
const properties: Readonly<Record<string, Property>> = {
  "image size": ({ config }) => imageSize(config).join(" x "),
  "image channels": ({ config }) => String(imageChannels(config)),
  "self-conditioning": ({ config }) => config.selfConditioning ? "on" : "off",
  // The steps suit the model's: a learned embedding of the guide's would lack those between timesteps.
  "time embedding": ({ config }) => config.timeEmbeddingType,
  "output channels": ({ config }) => String(config.outChannels),
  "classes": ({ classes }) => classes.length > 0 ? classes.join(", ") : "none",
  "objective": ({ schedule }) => schedule.objective,
  "noise schedule": ({ schedule }) => noiseLevels(schedule),
};

/** Noise levels of a process in short: equal for processes that are equal to float32. */
function noiseLevels(process: TrainedProcess): string {
  if (!(process instanceof NoiseSchedule)) {
    return `from ${process.sigmaMin} to ${process.sigmaMax}${
      process instanceof RectifiedFlow ? "" : `, sigma_data ${process.sigmaData}`
    }`;
  }
  const { alphasCumprod } = process;
  const shown = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const cumprod = alphasCumprod[Math.round(part * (alphasCumprod.length - 1))]!; // a timestep of the schedule
    return cumprod.toPrecision(6);
  });
  return `of ${alphasCumprod.length} timesteps (signal ${shown.join(", ")})`;
}
