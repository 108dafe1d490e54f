/**
 * Settings of a drawn picture, from the text of its PNG: what the form takes of them, and what it cannot.
 *
 * @module
 */
import { ANY_CLASS, NO_CLASS, plural } from "./words.js";
/** @import { Wish } from "./api.js" */
/** @import { Offer } from "./offer.js" */
/** @import { PngFacts } from "./png_text.js" */

/** Largest factor that the server enlarges pictures by. */
const MAX_SCALE = 16;

/**
 * What a PNG says of its drawing. `notes` are sentences on what cannot be repeated; a picture without any is repeated to the bit.
 * @typedef {{
 *   wish: Omit<Wish, "class" | "edit"> & { class?: string },
 *   edit?: { strength: number, resamplings: number },
 *   notes: string[],
 * }} Drawn without a class where this model has none of that name; with `edit` it was drawn from another picture
 */

/**
 * Reads the settings.
 *
 * @param {PngFacts} png
 * @param {Offer} offer of the server
 * @param {{ hasOriginal?: boolean }} [options] whether the page has the picture that an edit was drawn from
 * @returns {Drawn | undefined} nothing for a picture of another program
 */
export function readDrawn(png, offer, { hasOriginal = false } = {}) {
  const { text } = png;
  if (!["model", "class", "sampler", "steps"].every((name) => text.has(name))) return undefined;
  /** @type {string[]} */
  const notes = [];
  const given = reader(text, notes);
  noteModel(text, offer, notes);
  const { seed, count } = readSeeds(given, offer, notes);
  const sampler = given.word("sampler", "sampler", offer.samplers);
  const taken = (/** @type {"eta" | "variance" | "churn"} */ name) =>
    offer.takes[name].includes(sampler ?? "");
  /** @type {Drawn["wish"]} */
  const wish = {
    class: readClass(given, seed, offer, notes),
    count,
    seed,
    steps: given.number("steps", "number of steps", 1, offer.limits.steps) ?? offer.limits.steps,
    sampler: sampler ?? offer.defaults.sampler,
    guidance: given.number("guidance", "guidance", 0, offer.limits.guidance),
    negative_class: given.word("negative_class", "class to lead away from", [...offer.classes, NO_CLASS]),
    guidance_rescale: given.number("guidance_rescale", "rescale", 0, 1),
    guidance_interval: text.get("guidance_interval"),
    spacing: given.word("spacing", "spacing", offer.spacings),
    eta: taken("eta") ? given.number("eta", "eta", 0, 1) : undefined,
    variance: taken("variance") ? given.word("variance", "variance", offer.variances) : undefined,
    churn: taken("churn") ? given.number("churn", "churn", 0, Infinity) : undefined,
  };
  for (const name of ["churn_range", "churn_noise"]) {
    if (text.has(name)) notes.push(`Its ${name.replace("_", " ")} cannot be set on this page.`);
  }
  noteSize(png, count, offer, notes);
  return { wish, edit: readEdit(given, offer, hasOriginal ? [] : notes), notes };
}

/**
 * Reads values; what is missing or not allowed is undefined, and the latter noted.
 *
 * @param {ReadonlyMap<string, string>} text
 * @param {string[]} notes
 */
function reader(text, notes) {
  return {
    /** @param {string} name */
    text: (name) => text.get(name),
    /**
     * @param {string} name
     * @param {string} what in words
     * @param {readonly string[]} allowed
     */
    word(name, what, allowed) {
      const value = text.get(name);
      if (value === undefined || allowed.includes(value)) return value;
      notes.push(`The ${what} “${brief(value)}” is not one of this server’s.`);
      return undefined;
    },
    /**
     * A number; the nearest that is allowed, where it is not.
     * @param {string} name
     * @param {string} what in words
     * @param {number} least
     * @param {number} most
     */
    number(name, what, least, most) {
      const value = text.get(name);
      if (value === undefined) return undefined;
      const number = /^\d+(\.\d+)?(e-\d+)?$/.test(value) ? Number(value) : NaN;
      if (number >= least && number <= most) return number;
      const nearest = number > most ? most : undefined;
      notes.push(
        `The ${what} ${brief(value)} is not possible here` +
          (nearest === undefined ? "." : `; ${nearest} is filled in.`),
      );
      return nearest;
    },
  };
}

/** Least length of a digest in a picture; shorter ones, as of a picture made by hand, could be of any model. */
const LEAST_DIGEST = 8;

/**
 * @param {string} given a digest, or its beginning
 * @param {string} digest
 */
export function isDigestOf(given, digest) {
  return given.length >= LEAST_DIGEST && digest.startsWith(given);
}

/**
 * @param {ReadonlyMap<string, string>} text
 * @param {Offer} offer
 * @param {string[]} notes
 */
function noteModel(text, { model, guide }, notes) {
  const [name, digest] = [text.get("model"), text.get("model_digest")];
  const same = digest === undefined ? name === model.id : isDigestOf(digest, model.digest);
  if (!same) {
    const which = name === model.id ? "another state of the model" : "the model";
    const here = name === model.id ? "" : `; this server has ${model.id}`;
    notes.push(`It was drawn by ${which} ${brief(name ?? "")}${here}. The picture will be another one.`);
  }
  const [guided, weights] = [text.get("guide"), text.get("guide_digest")];
  const known = weights === undefined ? guided === guide?.id : guide && isDigestOf(weights, guide.digest);
  if (guided !== undefined && !known) {
    notes.push(`It was guided by the model ${brief(guided)}, by which this server’s is not.`);
  }
  const precision = text.get("precision") ?? "float32";
  if (same && precision !== model.precision) {
    notes.push(
      `It was drawn in precision ${precision}, here it is ${model.precision}: pixels may differ slightly.`,
    );
  }
}

/**
 * Number and first seed of the pictures; a grid lists the seeds of all.
 *
 * @param {ReturnType<typeof reader>} given
 * @param {Offer} offer
 * @param {string[]} notes
 */
function readSeeds(given, { limits }, notes) {
  const listed = given.text("seed");
  if (listed === undefined) {
    notes.push("It has no seed, since it was made from other pictures. The page cannot repeat it.");
    return { seed: undefined, count: 1 };
  }
  const seeds = listed.split(", ").map((seed) => /^\d{1,16}$/.test(seed) ? Number(seed) : NaN);
  const [seed] = seeds;
  if (seeds.some((seed) => !(seed <= Number.MAX_SAFE_INTEGER - limits.images))) {
    notes.push(`The seed ${brief(listed)} is not possible here.`);
    return { seed: undefined, count: 1 };
  }
  if (seeds.length === 1) return { seed, count: 1 };
  if (seeds.some((other, i) => other !== seed + i)) {
    notes.push(`It is a grid of ${seeds.length} pictures with seeds of any order; the first is filled in.`);
    return { seed, count: 1 };
  }
  const count = Math.min(seeds.length, limits.images);
  const first = count === seeds.length ? "" : `, of which this server draws ${count} at once`;
  notes.push(`It is a grid of ${seeds.length} pictures${first}. The page draws them one by one.`);
  return { seed, count };
}

/**
 * @param {ReturnType<typeof reader>} given
 * @param {number | undefined} seed of the first picture
 * @param {Offer} offer
 * @param {string[]} notes
 */
function readClass(given, seed, { classes, guided }, notes) {
  const value = given.text("class") ?? "";
  const known = (/** @type {string} */ name) =>
    classes.includes(name) || (name === NO_CLASS && (guided || classes.length === 0));
  const mixed = value.split(",").map((part) => /^(.*):\d+(\.\d+)?$/.exec(part)?.[1] ?? "");
  if (known(value) || mixed.every(known)) return value;
  const each = value.split(", ");
  if (each.length > 1 && each.every(known)) {
    if (each.every((name, i) => name === classes[((seed ?? 0) + i) % classes.length])) return ANY_CLASS;
    notes.push(`It has pictures of several classes; the first is filled in.`);
    return each[0];
  }
  notes.push(`The class “${brief(value)}” is not one of this model’s; choose another.`);
  return undefined;
}

/**
 * @param {PngFacts} png
 * @param {number} count of pictures
 * @param {Offer} offer
 * @param {string[]} notes
 */
function noteSize({ width, height }, count, { size }, notes) {
  if (count > 1) return;
  const scale = width / size.width;
  if (Number.isInteger(scale) && scale <= MAX_SCALE && height === scale * size.height) {
    if (scale > 1) {
      notes.push(
        `The file is enlarged ${scale} times; the page draws ${size.width} × ${size.height} pixels.`,
      );
    }
    return;
  }
  notes.push(
    `It has ${width} × ${height} pixels, and this model’s pictures have ${size.width} × ${size.height}.`,
  );
}

/**
 * @param {ReturnType<typeof reader>} given
 * @param {Offer} offer
 * @param {string[]} notes
 */
function readEdit(given, { limits }, notes) {
  if (given.text("strength") === undefined) return undefined;
  const strength = given.number("strength", "strength", 0, 1) ?? 1;
  const resamplings = given.number("resamplings", "number of passes", 1, limits.resamplings) ?? 1;
  const painted = given.text("mask") === undefined ? "" : ", with the same part painted over";
  notes.push(
    `It was drawn from another picture, which is not in the file: choose that one to start from${painted}.`,
  );
  const jump = Number(given.text("jump") ?? usualJump(given, strength));
  if (jump !== usualJump(given, strength)) {
    notes.push(`Its passes go over ${plural(jump, "step")} each, which cannot be set on this page.`);
  }
  return { strength, resamplings };
}

/**
 * Steps of a pass, as the server chooses them.
 * @param {ReturnType<typeof reader>} given
 * @param {number} strength
 */
function usualJump(given, strength) {
  const run = Math.max(1, Math.floor(Number(given.text("steps")) * strength + 1e-9));
  return Math.max(1, Math.min(10, run - 1));
}

/**
 * Text of a file, short enough for a sentence.
 * @param {string} text
 */
function brief(text) {
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`;
}
