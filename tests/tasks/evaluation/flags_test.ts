import assert from "node:assert/strict";
import { ConfigError } from "../../../lib/errors.ts";
import { readEvaluateFlags } from "../../../tasks/evaluation/flags.ts";

Deno.test("flags of evaluate that would change nothing are refused, naming what they belong to", () => {
  const refused: readonly (readonly [string[], string])[] = [
    [
      ["--preprocessing", "tensorflow"],
      '--preprocessing: expected no value without --inception, got "tensorflow"',
    ],
    [
      ["--terms", "5", "--likelihood-images", "0"],
      "--terms: expected no value with --likelihood-images 0, got 5",
    ],
  ];
  for (const [args, message] of refused) {
    assert.throws(
      () => readEvaluateFlags(args),
      (error) => error instanceof ConfigError && error.message === message,
      message,
    );
  }
});

Deno.test("the same flags are taken beside what they belong to", () => {
  const inception = readEvaluateFlags(["--inception", "weights.pth", "--preprocessing", "tensorflow"]);
  assert.deepEqual([inception.inception, inception.preprocessing], ["weights.pth", "tensorflow"]);
  const likelihood = readEvaluateFlags(["--terms", "5", "--likelihood-images", "3"]);
  assert.deepEqual([likelihood.terms, likelihood.likelihoodImages], [5, 3]);
});
