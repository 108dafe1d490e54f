/**
 * Class words in prompts. Models are conditioned on classes, not text, so a prompt is searched for one class word.
 *
 * @module
 */
import { ConfigError } from "../../lib/errors.ts";

/**
 * Synonyms of class names, used if the model has that class. Unambiguous words only: a wrong guess is worse than an
 * error that lists the classes.
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
 * Finds the class that a prompt names, by its name or a synonym: whole words, any case, singular or plural. The longest
 * match wins where class names overlap, such as "polar bear" and "bear".
 *
 * @param prompt text of the request
 * @param classes names of the model's classes
 * @returns the class's name; undefined for an unconditional model, which accepts any prompt
 * @throws {ConfigError} when the prompt names no class or more than one
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

/** Class by phrase. Class names take precedence over plurals of other classes, and both over synonyms. */
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
