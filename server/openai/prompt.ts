/**
 * Class words in prompts. The models know classes and no language: a prompt is searched for one class word.
 *
 * @module
 */
import { ConfigError } from "../../lib/errors.ts";

/**
 * Words taken for a class, where a model has a class of that name. Only words that name such a thing and nothing else:
 * a wrong guess is worse than an answer that lists the classes.
 */
export const synonyms: Readonly<Record<string, readonly string[]>> = {
  airplane: ["plane", "aeroplane", "aircraft", "airliner"],
  automobile: ["car", "motorcar", "sedan"],
  bird: ["songbird"],
  cat: ["kitten", "kitty"],
  deer: ["stag", "fawn"],
  dog: ["puppy", "pup", "hound"],
  frog: ["bullfrog"],
  horse: ["pony", "foal", "mare", "stallion"],
  ship: ["boat", "yacht"],
  truck: ["lorry"],
};

/**
 * The one class that a prompt names, by its name or a synonym: whole words, any case, singular or plural. Where words
 * overlap, as "polar bear" and "bear" may in a model of one's own, the longest counts.
 *
 * @param prompt what a person wrote
 * @param classes names of the model's classes
 * @returns the class's name; undefined for a model without classes, which takes any prompt
 * @throws {ConfigError} when the prompt names no class, or more than one: which of them was meant cannot be known
 */
export function classOfPrompt(prompt: string, classes: readonly string[]): string | undefined {
  if (classes.length === 0) return undefined;
  const phrases = phrasesOf(classes);
  const longest = Math.max(...[...phrases.keys()].map((phrase) => phrase.split(" ").length));
  const words = wordsOf(prompt);
  const found = new Set<string>();
  for (let start = 0; start < words.length;) {
    let length = Math.min(longest, words.length - start);
    while (length > 0 && !phrases.has(words.slice(start, start + length).join(" "))) length--;
    if (length > 0) found.add(phrases.get(words.slice(start, start + length).join(" "))!);
    start += Math.max(1, length);
  }
  const [name, ...others] = found;
  if (name === undefined) {
    throw new ConfigError("prompt", shortened(prompt), `a class word, one of ${classes.join(", ")}`);
  }
  if (others.length > 0) {
    throw new ConfigError("prompt", shortened(prompt), `one class, not ${[...found].join(" and ")} at once`);
  }
  return name;
}

/** Every phrase that stands for a class. A class's own name goes before another's plural, both before synonyms. */
function phrasesOf(classes: readonly string[]): Map<string, string> {
  const phrases = new Map<string, string>();
  const add = (phrase: string, name: string) => {
    if (phrase !== "" && !phrases.has(phrase)) phrases.set(phrase, name);
  };
  const own = classes.map((name) => [wordsOf(name).join(" "), name] as const);
  for (const [phrase, name] of own) add(phrase, name);
  for (const [phrase, name] of own) add(plural(phrase), name);
  for (const [phrase, name] of own) {
    if (!Object.hasOwn(synonyms, phrase)) continue;
    for (const word of synonyms[phrase] ?? []) {
      add(word, name);
      add(plural(word), name);
    }
  }
  return phrases;
}

/** Letters and digits, in lower case; "Cat's" is "cat" and "s". */
function wordsOf(text: string): string[] {
  return text.normalize("NFKC").toLowerCase().split(/[^\p{L}\p{N}\p{M}]+/u).filter((word) => word !== "");
}

function plural(phrase: string): string {
  if (/[^aeiou]y$/.test(phrase)) return phrase.slice(0, -1) + "ies";
  return phrase + (/(s|x|z|ch|sh)$/.test(phrase) ? "es" : "s");
}

function shortened(text: string): string {
  return text.length > 80 ? text.slice(0, 79) + "…" : text;
}
