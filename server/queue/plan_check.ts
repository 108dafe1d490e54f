/**
 * Checks of waiting requests when the model is replaced, on the thread that answers all others: as little is planned as
 * possible.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { givenSettings } from "../../lib/diffusion/sampler.ts";
import { ConfigError } from "../../lib/errors.ts";
import { planFor } from "../../lib/sampling/image_plan.ts";
import type { DrawPlan } from "../../lib/sampling/request.ts";
import type { ServedModel } from "../engine/engine.ts";

/** Tells which plans of other models a model can draw, in as many evaluations. */
export class PlanCheck {
  readonly model: ServedModel;
  readonly #alike = new Map<ServedModel, boolean>();
  /** Results by the settings that a plan depends on. */
  readonly #results = new Map<string, boolean>();

  constructor(model: ServedModel) {
    this.model = model;
  }

  /** @param from model that `draw` was planned for */
  canDraw(draw: DrawPlan, from: ServedModel): boolean {
    if (this.#isAlike(from)) return true;
    const key = settingsKey(draw);
    const known = this.#results.get(key);
    if (known !== undefined) return known;
    const result = canPlan(draw, this.model);
    this.#results.set(key, result);
    return result;
  }

  /** Plans are the same for another model's schedule and configuration. */
  #isAlike(other: ServedModel): boolean {
    const known = this.#alike.get(other);
    if (known !== undefined) return known;
    const { schedule, config } = this.model;
    const alike = isDeepStrictEqual(other.schedule, schedule) && isDeepStrictEqual(other.config, config);
    this.#alike.set(other, alike);
    return alike;
  }
}

/** The settings that a plan depends on; of an edit's pictures, which have been checked, their sizes. */
function settingsKey(draw: DrawPlan): string {
  const { sampler, steps, evaluations, edit } = draw;
  const passes = edit &&
    [edit.strength, edit.resamplings, edit.jump, edit.image.length, edit.mask?.length];
  return JSON.stringify([sampler, steps, evaluations, givenSettings(draw), passes]);
}

function canPlan(draw: DrawPlan, model: ServedModel): boolean {
  try {
    return planFor(model, draw).length === draw.evaluations;
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}
