import assert from "node:assert/strict";
import { withSuggestion } from "../lib/suggest.ts";

const animals = ["cat", "dog", "horse", "automobile", "none"];

Deno.test("a word close to a known one gets a suggestion, in any case", () => {
  const cases: [wrong: string, meant: string][] = [
    ["kat", "cat"],
    ["CATS", "cat"],
    ["hrose", "horse"],
    ["cta", "cat"],
    ["Dgo", "dog"],
    ["none ", "none"],
    ["hors", "horse"],
    ["automobil", "automobile"],
    ["non", "none"],
  ];
  for (const [wrong, meant] of cases) {
    assert.equal(withSuggestion("a word", wrong, animals), `a word (did you mean ${meant}?)`, wrong);
  }
  assert.equal(
    withSuggestion("a word", "bat", ["cat", "rat", "horse", "cat"]),
    "a word (did you mean cat or rat?)",
  );
});

Deno.test("a word close to none gets no suggestion", () => {
  for (const wrong of ["", "zebra", "c", "4", "x".repeat(100_000)]) {
    assert.equal(withSuggestion("a word", wrong, [...animals, "1", "10"]), "a word", wrong.slice(0, 9));
  }
  assert.equal(withSuggestion("a word", "kat", []), "a word");
});

Deno.test("a word equally close to all gets no suggestion, unless there is but one", () => {
  const types = ["float16", "float32"];
  assert.equal(withSuggestion("Allowed: float16, float32.", "float64", types), "Allowed: float16, float32.");
  assert.equal(withSuggestion("a word", "kat", ["cat"]), "a word (did you mean cat?)");
});
