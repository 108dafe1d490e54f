import assert from "node:assert/strict";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";
import {
  drawSettings,
  type GenerateOptions,
  type ModelFacts,
  resolveClass,
} from "../../lib/sampling/request.ts";
import { microNetwork } from "../support/train/micro.ts";

const schedule = new NoiseSchedule();
const animals: ModelFacts = {
  config: microNetwork({ numClassEmbeds: 4 }),
  schedule,
  classes: ["cat", "Cat", "3"],
};
const unconditional: ModelFacts = { config: microNetwork(), schedule, classes: [] };

function refusal(options: GenerateOptions, model = animals): string {
  let message = "";
  assert.throws(() => drawSettings(options, model), (error: Error) => {
    message = error.message;
    return error instanceof ConfigError;
  });
  return message;
}

Deno.test("a class is found by name in any case, by number, and none stands for no class", () => {
  const cases: [string | number | null, number][] = [
    ["cat", 0],
    ["Cat", 1],
    ["CAT", 0],
    ["3", 2],
    [1, 1],
    ["0", 0],
    [null, 3],
    ["none", 3],
    ["None", 3],
  ];
  for (const [choice, label] of cases) assert.equal(resolveClass(choice, animals), label, String(choice));
});

Deno.test("an unknown class is refused with those that there are", () => {
  for (const choice of ["dog", "", "4", 3.5, -1, NaN, "1e0", "0x1"]) {
    assert.match(
      refusal({ class: choice }),
      /^class: expected cat, Cat, 3, a number from 0 to 2, or none, got /,
      String(choice),
    );
  }
  assert.match(
    refusal({ class: "catt" }),
    /^class: expected cat, Cat, 3, a number from 0 to 2, or none \(did you mean cat or Cat\?\), got "catt"$/,
  );
  const zoo = { ...animals, classes: ["ox", "bat", "yak"] };
  const words = ["all", "none"];
  assert.throws(() => resolveClass("al", zoo, words), {
    message: 'class: expected ox, bat, yak, a number from 0 to 2, all, or none (did you mean all?), got "al"',
  });
  assert.equal(refusal({ class: [] }), 'class: expected at least one class, got "an empty list"');
  assert.equal(
    refusal({ class: "cat" }, unconditional),
    'class: expected none, since this model was trained without classes, got "cat"',
  );
  assert.throws(() => resolveClass("cat", unconditional, ["any", "none"]), {
    message: 'class: expected any or none, since this model was trained without classes, got "cat"',
  });
});

Deno.test("where classes have no names, only numbers are told of", () => {
  const counted = { ...animals, classes: ["0", "1", "2"] };
  assert.equal(
    refusal({ class: "3" }, counted),
    'class: expected a number from 0 to 2, or none, got "3"',
  );
  const single = { ...animals, config: microNetwork({ numClassEmbeds: 2 }), classes: ["0"] };
  assert.equal(refusal({ class: "cat" }, single), 'class: expected the number 0, or none, got "cat"');
});

Deno.test("defaults: one image, no class, 25 DDIM steps, guidance where there is a class", () => {
  assert.deepEqual(drawSettings({}, animals), {
    labels: [3],
    steps: 25,
    sampler: "ddim",
    eta: undefined,
    guidance: 1,
    guided: false,
    seed: 0,
    batch: 64,
  });
  const { guidance, guided, labels } = drawSettings({ class: ["cat", null], count: 2 }, animals);
  assert.deepEqual([guidance, guided, labels], [2, true, [0, 0, 3, 3]]);
  assert.equal(drawSettings({ sampler: "ddpm" }, animals).steps, 1000);
  const short = { ...animals, schedule: new NoiseSchedule({ numTrainTimesteps: 20 }) };
  assert.equal(drawSettings({}, short).steps, 20);
  assert.deepEqual(drawSettings({}, unconditional).labels, [0]);
});

Deno.test("guidance 1 asks the network once; any other scale needs a class", () => {
  assert.equal(drawSettings({ class: 0, guidance: 1 }, animals).guided, false);
  assert.equal(drawSettings({ class: 0, guidance: 0 }, animals).guided, true);
  assert.equal(drawSettings({ guidance: 1 }, unconditional).guided, false);
  assert.match(refusal({ guidance: 2 }), /^guidance: expected 1 where no class is asked for, got 2$/);
});

Deno.test("a number out of range is refused by name, value and what is allowed", () => {
  const cases: [GenerateOptions, string][] = [
    [{ count: 0 }, "count: expected a whole number from 1 to 4096, got 0"],
    [{ count: 4097 }, "count: expected a whole number from 1 to 4096, got 4097"],
    [{ steps: 1001 }, "steps: expected a whole number from 1 to 1000, got 1001"],
    [{ steps: 0.5 }, "steps: expected a whole number from 1 to 1000, got 0.5"],
    [{ batch: NaN }, "batch: expected a whole number from 1 to 4096, got NaN"],
    [{ seed: -1 }, `seed: expected a whole number from 0 to ${2 ** 53 - 2}, got -1`],
    [
      { seed: 2 ** 53 - 3, count: 4 },
      `seed: expected a whole number from 0 to ${2 ** 53 - 5}, got ${2 ** 53 - 3}`,
    ],
    [{ sampler: "euler" as "ddim" }, 'sampler: expected ddpm or ddim, got "euler"'],
    [{ class: 0, guidance: -1 }, "guidance: expected a number of at least 0, got -1"],
    [{ class: 0, guidance: NaN }, "guidance: expected a number of at least 0, got NaN"],
  ];
  for (const [options, message] of cases) assert.equal(refusal(options), message);
});
