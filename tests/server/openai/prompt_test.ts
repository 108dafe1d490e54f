import assert from "node:assert/strict";
import { CIFAR10_CLASSES } from "../../../lib/data/cifar10.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { classOfPrompt, synonyms } from "../../../server/openai/prompt.ts";

function refusal(prompt: string, classes: readonly string[] = CIFAR10_CLASSES): string {
  let message = "";
  assert.throws(() => classOfPrompt(prompt, classes), (error: Error) => {
    message = error.message;
    return error instanceof ConfigError && error.field === "prompt";
  });
  return message;
}

Deno.test("a prompt's class is found as a whole word in any case, in the plural and by a synonym", () => {
  const cases: [string, string][] = [
    ["a photo of a cat", "cat"],
    ["CAT", "cat"],
    ["two Cats, please!", "cat"],
    ["the cat's whiskers", "cat"],
    ["cat-like, a cat", "cat"],
    ["a kitten and its mother, a cat", "cat"],
    ["puppies", "dog"],
    ["ponies on a meadow", "horse"],
    ["deer", "deer"],
    ["an aeroplane", "airplane"],
    ["a red car", "automobile"],
    ["lorries", "truck"],
    ["a boat\nat sea", "ship"],
    ["ｃａｔ", "cat"],
  ];
  for (const [prompt, name] of cases) assert.equal(classOfPrompt(prompt, CIFAR10_CLASSES), name, prompt);
});

Deno.test("every synonym and its plural stands for one class of CIFAR-10", () => {
  assert.deepEqual(Object.keys(synonyms), CIFAR10_CLASSES);
  const words = Object.values(synonyms).flat();
  assert.equal(new Set([...words, ...CIFAR10_CLASSES]).size, words.length + CIFAR10_CLASSES.length);
  for (const [name, list] of Object.entries(synonyms)) {
    for (const word of list) assert.equal(classOfPrompt(`one ${word}`, CIFAR10_CLASSES), name);
  }
});

Deno.test("a prompt without a class word is refused with the classes, and words are not found inside words", () => {
  for (
    const prompt of ["", "concatenate a carpet", "a bobcat", "constructor", "__proto__", "3", "…", "catß"]
  ) {
    assert.equal(
      refusal(prompt),
      `prompt: expected a class word, one of ${CIFAR10_CLASSES.join(", ")}, got ${JSON.stringify(prompt)}`,
    );
  }
});

Deno.test("a prompt with two classes is refused with both; the same one twice is not", () => {
  assert.equal(
    refusal("a dog chasing kittens"),
    'prompt: expected one class, not dog and cat at once, got "a dog chasing kittens"',
  );
  assert.equal(classOfPrompt("dogs, puppies and one more dog", CIFAR10_CLASSES), "dog");
});

Deno.test("a long prompt is shown in part", () => {
  assert.ok(refusal("cat dog ".repeat(120)).length < 200);
});

Deno.test("a model of one's own: names of several words, the longest counts, synonyms only of what there is", () => {
  const classes = ["bear", "polar_bear", "Kitten", "cat", "bus", "bears"];
  const cases: [string, string][] = [
    ["a bear", "bear"],
    ["bears", "bears"],
    ["two polar bears", "polar_bear"],
    ["a polar expedition meets a bear", "bear"],
    ["kitten", "Kitten"],
    ["kitty", "cat"],
    ["buses", "bus"],
  ];
  for (const [prompt, name] of cases) assert.equal(classOfPrompt(prompt, classes), name, prompt);
  assert.match(refusal("puppy", classes), /one of bear, polar_bear, Kitten, cat, bus, bears/);
  assert.match(refusal("a polar bear and a bear", classes), /not polar_bear and bear at once/);
});

Deno.test("a model without classes takes any prompt", () => {
  assert.equal(classOfPrompt("a cat and a dog", []), undefined);
});
