/**
 * Plans of images whose settings come from elsewhere, checked against the model that is to draw them.
 *
 * @module
 */
import {
  checkSteps,
  type PlannedStep,
  type SamplerName,
  type SamplerSettings,
} from "../diffusion/sampler.ts";
import { configuredVariance } from "../diffusion/samplers/ddpm.ts";
import type { ForwardProcess } from "../diffusion/forward_process.ts";
import { ConfigError } from "../errors.ts";
import { imageChannels, type UNetConfig } from "../model/config.ts";
import { type ImageSettings, planImage } from "./edits/edit_plan.ts";
import { checkEdit } from "./edits/image_edit.ts";
import { checkPlanTimes } from "./network_times.ts";

/** The parts of a model that the plan of an image depends on. */
export interface PlanningModel {
  readonly config: UNetConfig;
  /** Forward process of the training. */
  readonly schedule: ForwardProcess;
}

/**
 * Plans an image for a model.
 *
 * @throws {ConfigError} naming the setting that is invalid, or that this model cannot draw with
 */
export function planFor(model: PlanningModel, settings: ImageSettings): PlannedStep[] {
  const { schedule } = model;
  checkVariance(settings, model);
  checkSteps(schedule, settings.steps, settings);
  if (settings.edit) checkEdit(settings.edit, model, settings);
  const plan = planImage(schedule, settings);
  checkPlanTimes(model.config, settings.sampler, plan);
  return plan;
}

/**
 * Checks that the network predicts the variance of `ddpm` if that is to be learned.
 *
 * @throws {ConfigError} for a learned variance, of the request or the model's configuration, where the network predicts none
 */
export function checkVariance(
  { sampler, variance }: SamplerSettings & { readonly sampler: SamplerName },
  { schedule, config }: PlanningModel,
): void {
  const type = variance ?? (sampler === "ddpm" ? configuredVariance(schedule) : undefined);
  if (type !== "learned_range" || config.outChannels === 2 * imageChannels(config)) return;
  throw new ConfigError(
    "variance",
    type,
    `fixed_small or fixed_large: this network has ${config.outChannels} output channels, and a variance needs as many more`,
  );
}
