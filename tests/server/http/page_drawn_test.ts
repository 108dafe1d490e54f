/** Settings in PNGs, as the page reads them; without a browser. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { encodePng } from "../../../lib/image/png.ts";
import { readDrawn } from "../../../server/page/drawn.js";
import { PngError, readPng } from "../../../server/page/png_text.js";
import { harness } from "../../support/server/harness.ts";

const blob = (bytes: Uint8Array) => new Blob([bytes as Uint8Array<ArrayBuffer>]);

const OFFER = {
  name: "cifar10",
  model: { id: "fake-model-step-100", digest: "0123456789abcdef".repeat(4), precision: "float32" },
  guide: undefined,
  classes: ["cat", "dog", "b, c"],
  guided: true,
  size: { width: 32, height: 32 },
  facts: "",
  samplers: ["ddim", "unipc"],
  repeating: ["ddim"],
  spacings: ["karras", "leading"],
  variances: ["fixed_small"],
  takes: { eta: ["ddim"], variance: ["ddpm"], churn: ["edm"] },
  limits: { images: 8, steps: 100, guidance: 100, resamplings: 50 },
  defaults: { sampler: "unipc", steps: {} },
};

const TEXT = {
  model: "fake-model-step-100",
  model_digest: "0123456789abcdef",
  class: "cat",
  seed: "7",
  sampler: "ddim",
  steps: "20",
  spacing: "leading",
  guidance: "2",
};

function read(text: Record<string, string>, size: [number, number] = [32, 32]) {
  const [width, height] = size;
  return readDrawn({ width, height, text: new Map(Object.entries(text)) }, OFFER);
}

/** Settings without those that are undefined. */
function wishOf(text: Record<string, string>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(read(text)!.wish));
}

Deno.test("text of a PNG is read as it was written, in Latin-1 and Unicode", async () => {
  const keyword = fc.string({ unit: fc.constantFrom(..."abcXYZ é"), minLength: 1, maxLength: 20 })
    .filter((word) => word.trim() === word && !/ {2}/.test(word));
  const value = fc.string({ unit: "grapheme", maxLength: 50 }).filter((text) => !text.includes("\0"));
  await fc.assert(
    fc.asyncProperty(fc.dictionary(keyword, value, { maxKeys: 4, noNullPrototype: true }), async (text) => {
      const png = await encodePng(new Uint8Array(5 * 3 * 3), 5, 3, text);
      const facts = await readPng(blob(png));
      assert.deepEqual([facts.width, facts.height], [5, 3]);
      assert.deepEqual(Object.fromEntries(facts.text), text);
    }),
  );
});

Deno.test("a damaged or foreign file is said to be one, whatever bytes it has", async () => {
  const png = await encodePng(new Uint8Array(4 * 4 * 3), 4, 4, TEXT);
  await assert.rejects(readPng(blob(new Uint8Array())), /This file is not a PNG/);
  await assert.rejects(readPng(new Blob(["GIF89a"])), /This file is not a PNG/);
  await assert.rejects(readPng(blob(png.slice(0, 60))), /This PNG is damaged: it ends too early/);
  await assert.rejects(readPng(blob(png.slice(0, 8))), /This PNG is damaged: it has no size/);
  const changed = png.slice();
  changed[60] ^= 1;
  await assert.rejects(readPng(blob(changed)), /This PNG is damaged: a checksum is wrong/);
  await fc.assert(
    fc.asyncProperty(fc.nat(png.length - 1), fc.integer({ min: 1, max: 255 }), async (at, bits) => {
      const bytes = png.slice();
      bytes[at] ^= bits;
      await readPng(blob(bytes)).catch((error) => assert.ok(error instanceof PngError, error));
    }),
  );
});

Deno.test("the server's pictures are read whole: every setting that was asked for, and no note", async () => {
  const { ask } = harness();
  const query =
    "class=cat:0.6,dog:0.4&seed=9007199254740000&steps=12&sampler=ddim&spacing=linspace&eta=0.25&" +
    "guidance=3.5&negative_class=truck&guidance_rescale=0.7&guidance_interval=0.2,inf";
  const png = await (await ask(`/generate?${query}`)).bytes();
  const [settings, { models: [model] }, { images, steps }] = await Promise.all(
    ["/page/settings.json", "/models", "/limits"].map(async (path) => await (await ask(path)).json()),
  );
  const offer = {
    ...settings,
    ...model,
    model,
    guided: model.guidance,
    size: model,
    limits: { ...settings.limits, images, steps },
  };
  const { wish, edit, notes } = readDrawn(await readPng(blob(png)), offer)!;
  assert.deepEqual([notes, edit], [[], undefined]);
  assert.deepEqual(JSON.parse(JSON.stringify(wish)), {
    class: "cat:0.6,dog:0.4",
    count: 1,
    seed: 9007199254740000,
    steps: 12,
    sampler: "ddim",
    guidance: 3.5,
    negative_class: "truck",
    guidance_rescale: 0.7,
    guidance_interval: "0.2,inf",
    spacing: "linspace",
    eta: 0.25,
  });
});

Deno.test("pictures of other programs have no settings", () => {
  assert.equal(read({}), undefined);
  assert.equal(read({ parameters: "a cat", Software: "another" }), undefined);
});

Deno.test("what this server cannot repeat is noted, and the rest is taken", () => {
  const notesOf = (changes: Record<string, string>, size?: [number, number]) =>
    read({ ...TEXT, ...changes }, size)!.notes;
  assert.deepEqual(notesOf({}), []);
  const cases: [Record<string, string>, string][] = [
    [
      { model: "other", model_digest: "ff" },
      "It was drawn by the model other; this server has fake-model-step-100. The picture will be another one.",
    ],
    [
      { model_digest: "ff" },
      "It was drawn by another state of the model fake-model-step-100. The picture will be another one.",
    ],
    [
      { model_digest: "" }, // the beginning of every digest
      "It was drawn by another state of the model fake-model-step-100. The picture will be another one.",
    ],
    [{ guide: "weak" }, "It was guided by the model weak, by which this server’s is not."],
    [
      { guide: "weak", guide_digest: "ff" },
      "It was guided by the model weak, by which this server’s is not.",
    ],
    [
      { precision: "mixed" },
      "It was drawn in precision mixed, here it is float32: pixels may differ slightly.",
    ],
    [{ class: "horse" }, "The class “horse” is not one of this model’s; choose another."],
    [
      { class: "cat:0.5,horse:0.5" },
      "The class “cat:0.5,horse:0.5” is not one of this model’s; choose another.",
    ],
    [{ sampler: "other" }, "The sampler “other” is not one of this server’s."],
    [{ steps: "1000" }, "The number of steps 1000 is not possible here; 100 is filled in."],
    [{ guidance: "NaN" }, "The guidance NaN is not possible here."],
    [{ seed: "99999999999999999999" }, "The seed 99999999999999999999 is not possible here."],
    [{ churn_range: "0 to 1" }, "Its churn range cannot be set on this page."],
    [
      { class: "x".repeat(1000) },
      `The class “${"x".repeat(60)}…” is not one of this model’s; choose another.`,
    ],
  ];
  for (const [changes, note] of cases) assert.deepEqual(notesOf(changes), [note]);
  assert.deepEqual(notesOf({ model: "renamed" }), [], "the same weights under another name");
  assert.deepEqual(notesOf({}, [256, 256]), [
    "The file is enlarged 8 times; the page draws 32 × 32 pixels.",
  ]);
  assert.deepEqual(notesOf({}, [33, 32]), [
    "It has 33 × 32 pixels, and this model’s pictures have 32 × 32.",
  ]);
  assert.equal(wishOf({ ...TEXT, class: "horse" }).class, undefined);
  assert.equal(wishOf({ ...TEXT, steps: "1000" }).steps, 100);
  assert.equal(wishOf({ ...TEXT, class: "b, c" }).class, "b, c");
});

Deno.test("a grid becomes as many pictures, an edit asks for its picture, and what has no seed cannot be repeated", () => {
  const grid = read({ ...TEXT, seed: "7, 8, 9" })!;
  assert.deepEqual([grid.wish.seed, grid.wish.count, grid.wish.class], [7, 3, "cat"]);
  assert.deepEqual(grid.notes, ["It is a grid of 3 pictures. The page draws them one by one."]);
  // Image i of class any has class (seed + i) mod classes.
  assert.equal(read({ ...TEXT, seed: "3, 4", class: "cat, dog" })!.wish.class, "any");
  const rows = read({ ...TEXT, seed: "3, 4", class: "dog, cat" })!;
  assert.deepEqual([rows.wish.class, rows.notes[1]], [
    "dog",
    "It has pictures of several classes; the first is filled in.",
  ]);
  const large = read({ ...TEXT, seed: Array.from({ length: 9 }, (_, i) => i).join(", ") })!;
  assert.deepEqual([large.wish.count, large.notes], [
    8,
    ["It is a grid of 9 pictures, of which this server draws 8 at once. The page draws them one by one."],
  ]);
  assert.equal(read({ ...TEXT, seed: "7, 7" })!.wish.count, 1);

  const edit = read({ ...TEXT, strength: "0.6", mask: "40 % drawn anew", resamplings: "3", jump: "10" })!;
  assert.deepEqual(edit.edit, { strength: 0.6, resamplings: 3 });
  assert.deepEqual(edit.notes, [
    "It was drawn from another picture, which is not in the file: choose that one to start from, with the same part painted over.",
  ]);
  const { seed: _, ...without } = TEXT;
  const made = read({ ...without, from: "cat", strength: "0.5" })!;
  assert.equal(made.wish.seed, undefined);
  assert.match(made.notes[0], /^It has no seed, since it was made from other pictures/);
});
