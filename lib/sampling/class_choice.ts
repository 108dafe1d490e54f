/**
 * Choice of a class: by name, number or word, or a mixture of several.
 *
 * @module
 */
import type { ClassMixture } from "../diffusion/guidance.ts";
import { ConfigError } from "../errors.ts";
import type { UNetConfig } from "../model/config.ts";
import { withSuggestion } from "../suggest.ts";

/**
 * A class by name (compared in Unicode's NFC, case-insensitively if there is no exact match) or number; `none` or null for
 * no class; `any` for a class chosen by the seed; a mixture of classes with relative weights above 0, as text
 * (`"cat:0.6,dog:0.4"`) or as an object (`{ cat: 0.6, dog: 0.4 }`).
 */
export type ClassChoice = string | number | null | Readonly<Record<string, number>>;

/** Requests a class chosen by the seed: image i has class `(seed + i) mod classes`. */
export const ANY_CLASS = "any";
/** Requests the null class, i.e. unconditional sampling. */
export const NO_CLASS = "none";

/** Classes of a model that requests are checked against. */
export interface ClassFacts {
  /** The network. */
  readonly config: UNetConfig;
  /** Class names by label; as many as the class table has rows, or one fewer if its last row is the null class. */
  readonly classes: readonly string[];
}

/** True if the class table has a row for the null class. */
export function hasNullClass({ config, classes }: ClassFacts): boolean {
  return config.numClassEmbeds !== null && classes.length < config.numClassEmbeds;
}

/** Words that a model accepts as a class beside names and numbers. */
export function classWords(model: ClassFacts): string[] {
  return [ANY_CLASS, ...labelWords(model)];
}

/** Words that name a single label. */
function labelWords(model: ClassFacts): string[] {
  return hasNullClass(model) || model.classes.length === 0 ? [NO_CLASS] : [];
}

/**
 * Resolves a class or a mixture.
 *
 * @param more words that the caller accepts beside those of {@linkcode classWords}, for the message
 * @returns the label, 0 to classes - 1, or the number of classes for no class; a mixture; or `any`
 * @throws {ConfigError} with the valid names and a suggestion
 */
export function resolveClass(
  choice: ClassChoice,
  model: ClassFacts,
  more: readonly string[] = [],
): number | ClassMixture | typeof ANY_CLASS {
  if (choice !== null && typeof choice === "object") return mixtureOf(Object.entries(choice), model);
  if (isWord(choice, ANY_CLASS)) return model.classes.length > 0 ? ANY_CLASS : 0;
  const label = findLabel(choice, model);
  if (label !== undefined) return label;
  const parts = typeof choice === "string" ? splitMixture(choice, model) : undefined;
  if (parts) return mixtureOf(parts, model);
  const listed = String(choice).split(",", MAX_MIXTURE + 1).map((name) => name.trim());
  if (
    listed.length > 1 && listed.length <= MAX_MIXTURE &&
    listed.every((name) => findLabel(name, model) !== undefined)
  ) {
    const mixture = listed.map((name) => `${name}:1`).join();
    throw new ConfigError("class", choice, `one class, or a mixture with weights, such as ${mixture}`);
  }
  return refuse("class", choice, model, [...more, ...classWords(model)]);
}

/**
 * Resolves a single class, or no class.
 *
 * @param field name of the option, for the message
 * @returns 0 to classes - 1, or the number of classes for no class
 * @throws {ConfigError} with the valid names and a suggestion
 */
export function resolveLabel(field: string, choice: string | number | null, model: ClassFacts): number {
  return findLabel(choice, model) ?? refuse(field, choice, model, labelWords(model));
}

/** Text that {@linkcode resolveClass} resolves to a label or mixture. */
export function labelText(label: number | ClassMixture, classes: readonly string[]): string {
  if (typeof label === "number") return classes[label] ?? NO_CLASS;
  return label.map(({ label, weight }) => `${labelText(label, classes)}:${weight}`).join(",");
}

function findLabel(choice: string | number | null, model: ClassFacts): number | undefined {
  const { classes } = model;
  if (isWord(choice, NO_CLASS) && labelWords(model).length > 0) return classes.length;
  for (const form of [composed, caseless]) {
    const label = classes.findIndex((name) => form(name) === form(String(choice)));
    if (label >= 0) return label;
  }
  const number = typeof choice === "number" ? choice : /^\d+$/.test(choice ?? "") ? Number(choice) : NaN;
  return Number.isInteger(number) && number >= 0 && number < classes.length ? number : undefined;
}

function isWord(choice: string | number | null, word: string): boolean {
  return (choice === null ? NO_CLASS : String(choice).toLowerCase()) === word;
}

/** @param words words that are allowed beside names and numbers, one or more */
function refuse(
  field: string,
  choice: string | number | null,
  { classes }: ClassFacts,
  words: readonly string[],
): never {
  if (classes.length === 0) {
    const allowed = `${words.join(" or ")}, since this model was trained without classes`;
    throw new ConfigError(field, choice, allowed);
  }
  const names = classes.every((name, label) => name === String(label)) ? [] : classes;
  const all = [...names, numbers(classes.length), ...words];
  const reason = isWord(choice, NO_CLASS) ? "; this model's class table has no row for no class" : "";
  const allowed = `${all.slice(0, -1).join(", ")}, or ${all.at(-1)}${reason}`;
  const suggested = withSuggestion(allowed, String(choice), [...names, ...words]);
  throw new ConfigError(field, choice ?? NO_CLASS, suggested);
}

/** Largest number of classes in a mixture, each of which takes a row of the network's batch. */
const MAX_MIXTURE = 16;

/** Parts of a mixture: a class, and its weight as text or number. */
type MixtureParts = readonly (readonly [name: string, weight: string | number])[];

/** @throws {ConfigError} for an unknown class, or a weight that is not above 0 */
function mixtureOf(parts: MixtureParts, model: ClassFacts): ClassMixture {
  if (parts.length === 0 || parts.length > MAX_MIXTURE) {
    throw new ConfigError("class", `a mixture of ${parts.length}`, `1 to ${MAX_MIXTURE} classes`);
  }
  return parts.map(([name, weight]) => {
    const label = resolveLabel("class", name, model);
    if (typeof weight === "boolean" || !Number.isFinite(Number(weight)) || !(Number(weight) > 0)) {
      throw new ConfigError("class", `${name}:${weight}`, "a weight above 0");
    }
    return { label, weight: Number(weight) };
  });
}

/** End of a class in a mixture: its weight, and a comma or the end of the text. `nan` and `inf` are refused as weights, not as classes. */
const WEIGHT = /:\s*([+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?))\s*(?:,|$)/gi;

/**
 * Splits `cat:0.6,dog:0.4`. Names may hold colons and commas, so the text is split where all parts name classes, if it can
 * be, else at every weight.
 *
 * @returns undefined for a text that is no list of classes with weights
 */
function splitMixture(text: string, model: ClassFacts): MixtureParts | undefined {
  const weights = [...text.matchAll(WEIGHT)];
  const last = weights.at(-1);
  if (weights.length > MAX_MIXTURE) {
    throw new ConfigError("class", `a mixture of ${weights.length}`, `1 to ${MAX_MIXTURE} classes`);
  }
  if (!last || last.index + last[0].length < text.length || text.endsWith(",")) return undefined;
  const part = (from: number, { index, 1: weight }: RegExpExecArray) =>
    [text.slice(from, index).trim(), weight!] as const;
  const ends = weights.map(({ index, 0: all }) => index + all.length);
  // From the end: the split of what follows each weight, where there is one with known names only.
  const splits: (MixtureParts | undefined)[] = Array.from({ length: weights.length + 1 });
  splits[weights.length] = [];
  for (let first = weights.length - 1; first >= 0; first--) {
    for (let end = first; end < weights.length && !splits[first]; end++) {
      const rest = splits[end + 1];
      const head = part(first === 0 ? 0 : ends[first - 1]!, weights[end]!);
      if (rest && findLabel(head[0], model) !== undefined) splits[first] = [head, ...rest];
    }
  }
  return splits[0] ?? weights.map((weight, i) => part(i === 0 ? 0 : ends[i - 1]!, weight));
}

/** Unicode's NFC: macOS writes file names decomposed, keyboards type composed characters. */
function composed(name: string): string {
  return name.normalize("NFC");
}

function caseless(name: string): string {
  return composed(name.toLowerCase());
}

function numbers(count: number): string {
  return count === 1 ? "the number 0" : `a number from 0 to ${count - 1}`;
}
