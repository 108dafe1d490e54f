/**
 * Form with the settings of a drawing.
 *
 * @module
 */
import { byId, element } from "./dom.js";
import { prepareEditor, readEdit, repeats, writeEdit } from "./editor.js";
import { ANY_CLASS, className, NO_CLASS } from "./words.js";
/** @import { Wish } from "./api.js" */
/** @import { Drawn } from "./drawn.js" */
/** @import { Offer } from "./offer.js" */

const form = byId("wish");
const { count, steps, sampler, guidance, seed, mixture, negative, rescale, interval } = form.elements;
const { spacing, eta, variance, churn } = form.elements;
/** The model supports guidance. */
let canGuide = true;
/** The sampler of the form before a change of it. */
let lastSampler = "";
/** Samplers that can repeat their steps. @type {readonly string[]} */
let repeating = [];
/** Steps by sampler. @type {Readonly<Record<string, number>>} */
let usualSteps = {};
let largestSeed = Number.MAX_SAFE_INTEGER;
/** Samplers that take a setting. @type {Offer["takes"]} */
let takes = { eta: [], variance: [], churn: [] };

/**
 * Fills in what a model offers; may be called again for another. Settings that suit both stay.
 * @param {Offer} offer
 * @param {boolean} first it is the first model
 */
export function fillForm({ classes, guided, size, samplers, limits, defaults, ...offer }, first) {
  ({ repeating, takes } = offer);
  const words = [
    ...classes,
    ...(classes.length > 0 ? [ANY_CLASS] : []),
    ...(guided || classes.length === 0 ? [NO_CLASS] : []),
  ];
  canGuide = guided;
  const choices = words.map((name, index) => {
    const radio = element("input", { type: "radio", name: "class", value: name, required: true });
    radio.defaultChecked = index === 0;
    return element(
      "label",
      { className: "choice" },
      radio,
      element("span", { textContent: className(name) }),
    );
  });
  byId("classes").replaceChildren(
    element("legend", { textContent: "Class" }),
    element("div", { className: "choices" }, ...choices),
  );
  byId("draw-rows").hidden = classes.length === 0;
  byId("more").hidden = classes.length === 0;
  negative.replaceChildren(...[...(guided ? [NO_CLASS] : []), ...classes].map((name) => {
    return element("option", { value: name, textContent: className(name) });
  }));
  const chosenSteps = !first && steps.valueAsNumber !== usualSteps[sampler.value];
  usualSteps = defaults.steps;
  if (first) {
    sampler.replaceChildren(...samplers.map((name) => element("option", { textContent: name })));
  }
  sampler.value = defaults.sampler;
  for (const [select, names] of [[spacing, offer.spacings], [variance, offer.variances]]) {
    const usual = element("option", { value: "", textContent: "usual" });
    select.replaceChildren(usual, ...names.map((name) => element("option", { textContent: name })));
  }
  count.max = limits.images;
  steps.max = limits.steps;
  if (!chosenSteps) steps.value = usualSteps[sampler.value];
  lastSampler = sampler.value;
  guidance.max = limits.guidance;
  if (first) {
    count.value = Math.min(4, limits.images);
    guidance.value = defaults.guidance ?? 2;
  }
  largestSeed = Number.MAX_SAFE_INTEGER - limits.images;
  prepareEditor(size, limits.resamplings);
  check();
}

sampler.addEventListener("change", () => {
  // A number that somebody chose stays.
  if (steps.valueAsNumber === usualSteps[lastSampler]) steps.value = usualSteps[sampler.value];
  lastSampler = sampler.value;
  spacing.value = ""; // that of another sampler may not suit this one
});
form.addEventListener("input", () => {
  const tooLarge = Number(seed.value) > largestSeed;
  seed.setCustomValidity(tooLarge ? `A seed is a whole number from 0 to ${largestSeed}.` : "");
  check();
});

/**
 * Settings of the form, for one class or several; an empty seed becomes a random one.
 * @param {readonly string[]} [classes] default: the class that is chosen
 * @returns {Promise<Wish[]>}
 */
export async function readForm(classes = [chosen()]) {
  const each = {
    count: count.valueAsNumber,
    steps: steps.valueAsNumber,
    sampler: sampler.value,
    seed: seed.value === "" ? crypto.getRandomValues(new Uint32Array(1))[0] : Number(seed.value),
    ...readSampling(),
  };
  const wishes = classes.map((name) => ({ class: name, ...each, ...(isGuided(name) ? readGuidance() : {}) }));
  const edit = await readEdit();
  return edit ? wishes.map((wish) => ({ ...wish, edit })) : wishes;
}

/** Settings of the sampler that are not left as they are. */
function readSampling() {
  return {
    ...(spacing.value === "" ? {} : { spacing: spacing.value }),
    ...(eta.disabled || eta.value === "" ? {} : { eta: eta.valueAsNumber }),
    ...(variance.disabled || variance.value === "" ? {} : { variance: variance.value }),
    ...(churn.disabled || churn.value === "" ? {} : { churn: churn.valueAsNumber }),
  };
}

/** Settings of guidance that are not left as they are. */
function readGuidance() {
  return {
    guidance: guidance.valueAsNumber,
    ...(negative.value === NO_CLASS ? {} : { negative_class: negative.value }),
    ...(rescale.valueAsNumber === 0 ? {} : { guidance_rescale: rescale.valueAsNumber }),
    ...(interval.value === "" ? {} : { guidance_interval: interval.value }),
  };
}

/** The class or mixture that is chosen. */
function chosen() {
  return mixture.value.trim() || form.elements.class.value;
}

/** @param {Wish} wish */
export async function writeForm(wish) {
  writeSettings(wish);
  await writeEdit(wish.edit);
  check();
}

/**
 * Fills in all but the picture to start from.
 * @param {Drawn["wish"]} wish without a class or a seed, those of the form stay or become random
 */
export function writeSettings(wish) {
  const radios = /** @type {HTMLInputElement[]} */ ([...form.elements.class]);
  if (wish.class !== undefined) {
    const single = radios.some(({ value }) => value === wish.class);
    if (single) form.elements.class.value = wish.class;
    mixture.value = single ? "" : wish.class;
  }
  [count.value, steps.value, sampler.value] = [wish.count, wish.steps, wish.sampler];
  seed.value = wish.seed ?? "";
  lastSampler = wish.sampler;
  [spacing.value, eta.value] = [wish.spacing ?? "", wish.eta ?? ""];
  [variance.value, churn.value] = [wish.variance ?? "", wish.churn ?? ""];
  if (wish.guidance !== undefined) {
    guidance.value = wish.guidance;
    negative.value = wish.negative_class ?? NO_CLASS;
    rescale.value = wish.guidance_rescale ?? 0;
    interval.value = wish.guidance_interval ?? "";
  }
  check();
}

function check() {
  const guided = isGuided(chosen());
  for (const field of [guidance, negative, rescale, interval]) field.disabled = !guided;
  eta.disabled = !takes.eta.includes(sampler.value);
  variance.disabled = !takes.variance.includes(sampler.value);
  churn.disabled = !takes.churn.includes(sampler.value);
  const unfit = repeats() && !repeating.includes(sampler.value);
  sampler.setCustomValidity(
    unfit ? `More than one pass needs a sampler that can repeat its steps: ${repeating.join(", ")}.` : "",
  );
}

/** @param {string} name of a class */
function isGuided(name) {
  return canGuide && name !== NO_CLASS; // there is nothing to be guided to
}
