import assert from "node:assert/strict";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";
import { type ClassChoice, labelText, resolveClass } from "../../lib/sampling/class_choice.ts";
import { type GenerateOptions, type ModelFacts, planDraw } from "../../lib/sampling/request.ts";
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
  assert.throws(() => planDraw(options, model), (error: Error) => {
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

Deno.test("classes are compared in NFC, however a keyboard or a file system spells them", () => {
  const [composed, decomposed] = ["caf\u00e9", "cafe\u0301"];
  for (const name of [composed, decomposed]) {
    const model = { ...animals, classes: ["dog", name, "\u00c5ngstr\u00f6m"] };
    for (const choice of [composed, decomposed, "CAF\u00c9", "CAFE\u0301"]) {
      assert.equal(resolveClass(choice, model), 1, JSON.stringify([...choice]));
    }
    assert.equal(resolveClass("a\u030angstro\u0308m", model), 2);
  }
});

Deno.test("an unknown class is refused with those that there are", () => {
  for (const choice of ["dog", "", "4", 3.5, -1, NaN, "1e0", "0x1"]) {
    assert.match(
      refusal({ class: choice }),
      /^class: expected cat, Cat, 3, a number from 0 to 2, any, or none, got /,
      String(choice),
    );
  }
  assert.match(
    refusal({ class: "catt" }),
    /^class: expected cat, Cat, 3, a number from 0 to 2, any, or none \(did you mean cat or Cat\?\), got "catt"$/,
  );
  const zoo = { ...animals, classes: ["ox", "bat", "yak"] };
  assert.throws(() => resolveClass("al", zoo, ["all"]), {
    message:
      'class: expected ox, bat, yak, a number from 0 to 2, all, any, or none (did you mean all?), got "al"',
  });
  assert.equal(refusal({ class: [] }), 'class: expected at least one class, got "an empty list"');
  assert.equal(
    refusal({ class: "cat" }, unconditional),
    'class: expected any or none, since this model was trained without classes, got "cat"',
  );
  assert.throws(() => resolveClass("cat", unconditional, ["all"]), {
    message: 'class: expected all or any or none, since this model was trained without classes, got "cat"',
  });
});

Deno.test("for classes without names, errors list only numbers", () => {
  const counted = { ...animals, classes: ["0", "1", "2"] };
  assert.equal(
    refusal({ class: "3" }, counted),
    'class: expected a number from 0 to 2, any, or none, got "3"',
  );
  const single = { ...animals, config: microNetwork({ numClassEmbeds: 2 }), classes: ["0"] };
  assert.equal(refusal({ class: "cat" }, single), 'class: expected the number 0, any, or none, got "cat"');
});

const named = (...classes: string[]): ModelFacts => ({
  ...animals,
  config: microNetwork({ numClassEmbeds: classes.length + 1 }),
  classes,
});

Deno.test("a mixture is a list of classes with weights, as text or as an object", () => {
  const zoo = named("cat", "dog", "owl");
  const mixture = (choice: ClassChoice) => resolveClass(choice, zoo);
  const expected = [{ label: 0, weight: 0.6 }, { label: 1, weight: 0.4 }];
  assert.deepEqual(mixture("cat:0.6,dog:0.4"), expected);
  assert.deepEqual(mixture(" Cat : .6 , 1 : 4e-1 "), expected);
  assert.deepEqual(mixture({ cat: 0.6, dog: 0.4 }), expected);
  assert.deepEqual(mixture("cat:1"), [{ label: 0, weight: 1 }]);
  assert.deepEqual(mixture("owl:3,none:1"), [{ label: 2, weight: 3 }, { label: 3, weight: 1 }]);
  assert.equal(mixture("owl"), 2);
});

Deno.test("names that hold colons, commas and numbers work, alone and in mixtures", () => {
  const odd = named("a:1", "a", "b,c", "a:1,b:2", "b");
  const labels = (text: string) => {
    const found = resolveClass(text, odd);
    return typeof found === "object" ? found.map(({ label, weight }) => [label, weight]) : found;
  };
  assert.equal(labels("a:1"), 0); // the class of that name
  assert.equal(labels("a:1,b:2"), 3);
  assert.deepEqual(labels("a:1:0.5,b,c:0.5"), [[0, 0.5], [2, 0.5]]);
  assert.deepEqual(labels("a:1,b:2:3"), [[3, 3]]);
  assert.deepEqual(labels("a:1,b:2,b:4"), [[1, 1], [4, 2], [4, 4]]);
  assert.deepEqual(labels("b,c:2,a:2"), [[2, 2], [1, 2]]);
  for (const text of ["a:1:0.5,b,c:0.5", "a:1,b:2:3", "b,c:2,a:2"]) {
    const mixture = resolveClass(text, odd);
    assert.deepEqual(resolveClass(labelText(mixture as number, odd.classes), odd), mixture, text);
  }
});

Deno.test("a wrong part of a mixture is named, with a suggestion", () => {
  const zoo = named("cat", "dog");
  const refused = (choice: ClassChoice) => refusal({ class: choice }, zoo);
  const unknown = "class: expected cat, dog, a number from 0 to 1, or none";
  assert.equal(refused("cat:0.6,dogg:0.4"), `${unknown} (did you mean dog?), got "dogg"`);
  assert.equal(refused({ catt: 1 }), `${unknown} (did you mean cat?), got "catt"`);
  assert.equal(refused("cat:0.6,any:0.4"), `${unknown}, got "any"`);
  const weights = 'class: expected one class, or a mixture with weights, such as cat:1,dog:1, got "cat, dog"';
  assert.equal(refused("cat, dog"), weights);
  assert.match(refused("cat,dgo"), /^class: expected cat, dog, a number/);
  assert.equal(refused("cat:0"), 'class: expected a weight above 0, got "cat:0"');
  assert.equal(refused("cat:1,dog:-0.5"), 'class: expected a weight above 0, got "dog:-0.5"');
  assert.equal(refused("cat:nan,dog:1"), 'class: expected a weight above 0, got "cat:nan"');
  assert.equal(refused({ cat: true as never }), 'class: expected a weight above 0, got "cat:true"');
  assert.equal(refused({ cat: Infinity }), 'class: expected a weight above 0, got "cat:Infinity"');
  assert.equal(refused({}), 'class: expected 1 to 16 classes, got "a mixture of 0"');
  const many = Array.from({ length: 17 }, () => "cat:1").join();
  assert.equal(refused(many), 'class: expected 1 to 16 classes, got "a mixture of 17"');
  for (const text of ["cat:0.6,dog", "cat:0.6,", "cat:", "cat:x,dog:1x", ":1,"]) {
    assert.match(refused(text), /^class: expected cat, dog, a number from 0 to 1, any, or none/, text);
  }
  assert.match(refusal({ class: "cat:1" }, unconditional), /^class: expected none, since this model was/);
});

Deno.test("a long text is refused at once", () => {
  for (const part of ["1", ":1", ":1,", ":1 ", "cat:1,"]) {
    assert.match(refusal({ class: part.repeat(100_000) }), /^class: expected /);
  }
});
