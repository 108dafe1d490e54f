/**
 * Model facts, limits and defaults of the server.
 *
 * @module
 */
import { getJson } from "./api.js";

/**
 * @typedef {object} Offer
 * @property {string} name of the model, by which requests choose it
 * @property {{ id: string, digest: string, precision: string }} model
 * @property {{ id: string, digest: string }} [guide] the model that guides it
 * @property {string[]} classes
 * @property {boolean} guided whether the model knows "no class" beside its classes, which guidance needs
 * @property {{ width: number, height: number }} size of a picture
 * @property {string} facts what is to be known of the model, in a sentence
 * @property {readonly string[]} samplers
 * @property {readonly string[]} repeating those that can repeat their steps
 * @property {readonly string[]} spacings of the noise levels
 * @property {readonly string[]} variances of the noise of ddpm
 * @property {Readonly<Record<"eta" | "variance" | "churn", readonly string[]>>} takes samplers that take a setting
 * @property {{ images: number, steps: number, guidance: number, resamplings: number }} limits
 * @property {{ sampler: string, steps: Readonly<Record<string, number>>, guidance?: number }} defaults steps by sampler
 */

/**
 * Asks for all of it.
 * @returns {Promise<Offer[]>} one for each model, the default first
 * @throws {import("./api.js").ServerError}
 */
export async function readOffers() {
  const [settings, { models }, own] = await Promise.all([
    getJson("page/settings.json"),
    getJson("models"),
    getJson("limits"),
  ]);
  return models.map((/** @type {any} */ model) => offerOf(model, settings, own));
}

/**
 * @param {any} model
 * @param {any} settings of the server
 * @param {any} own limits of this client
 * @returns {Offer}
 */
function offerOf(model, { limits, defaults, ...offered }, own) {
  const {
    id,
    name,
    digest,
    guide,
    classes,
    width,
    height,
    parameters,
    timesteps,
    guidance,
    sampler,
    adapter,
    precision,
  } = model;
  const most = Math.min(own.steps, timesteps);
  const steps = Object.entries(model.default_steps).map(([sampler, usual]) => {
    return [sampler, Math.min(usual, most)];
  });
  return {
    ...offered,
    name,
    model: { id, digest, precision },
    guide: guide === undefined ? undefined : { id: guide, digest: model.guide_digest },
    classes,
    guided: guidance,
    size: { width, height },
    facts: `Model ${id}: ${million(parameters)} parameters, trained with ${timesteps} noise levels, ` +
      `running on ${adapter}${precision === "mixed" ? " in mixed precision" : ""}.`,
    limits: { ...limits, images: own.images, steps: most },
    defaults: { ...defaults, sampler: defaults.sampler ?? sampler, steps: Object.fromEntries(steps) },
  };
}

/** @param {number} count */
function million(count) {
  if (count < 100_000) return count.toLocaleString("en");
  return `${(count / 1e6).toPrecision(count < 1e6 ? 2 : 3)} million`;
}
