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
import type { TrainedModel } from "./trained_model.ts";

/**
 * Checks that a model can guide another.
 *
 * @throws {ConfigError} naming what differs
 */
export function checkGuide(guide: Omit<TrainedModel, "flat">, model: Omit<TrainedModel, "flat">): void {
  for (const [what, of] of Object.entries(properties)) {
    const [own, guiding] = [of(model), of(guide)];
    if (own === guiding) continue;
    throw new ConfigError(
      "guide",
      guide.path,
      `a model with the ${what} ${own} of ${model.path}, not ${guiding}`,
    );
  }
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
