import assert from "node:assert/strict";
import {
  checkGuidance,
  guidanceOf,
  guidanceStep,
  type Guided,
  networkRows,
} from "../../lib/diffusion/guidance.ts";
import { ConfigError } from "../../lib/errors.ts";
import { weightedSum } from "../reference/sampler_step.ts";

const NULL = 10;

/** Labels and weights at a noise level. */
function terms(image: Guided, nullLabel: number, sigma = 1): { label: number; weight: number }[] {
  return guidanceStep(image, sigma, nullLabel).terms.map(({ label, weight }) => ({ label, weight }));
}

Deno.test("guidance 0, 1 and 3 are the unconditional model, the conditional one and beyond it", () => {
  const outputs = new Map([[2, [2, -2.5]], [NULL, [1, -2]]]);
  const guided = (scale: number) =>
    weightedSum(
      terms({ label: 2, guidance: scale }, NULL).map(({ label, weight }) => ({
        weight,
        output: outputs.get(label)!,
      })),
    );
  assert.deepEqual(guided(0), [1, -2]);
  assert.deepEqual(guided(1), [2, -2.5]);
  assert.deepEqual(guided(3), [4, -3.5]); // u + 3 (c - u)
});

Deno.test("evaluations of weight 0 are left out", () => {
  assert.deepEqual(terms({ label: 2, guidance: 1 }, NULL), [{ label: 2, weight: 1 }]);
  assert.deepEqual(terms({ label: 2, guidance: 0 }, NULL), [{ label: NULL, weight: 1 }]);
  const both = [{ label: 2, weight: 3 }, { label: NULL, weight: -2 }];
  assert.deepEqual(terms({ label: 2, guidance: 3 }, NULL), both);
});

Deno.test("a mixture's weights are relative, the negative class takes the place of the null class", () => {
  const label = [{ label: 4, weight: 6 }, { label: 5, weight: 2 }];
  assert.deepEqual(terms({ label, guidance: 1 }, NULL), [{ label: 4, weight: 0.75 }, {
    label: 5,
    weight: 0.25,
  }]);
  assert.deepEqual(terms({ label, guidance: 2, negative: 7 }, NULL), [
    { label: 4, weight: 1.5 },
    { label: 5, weight: 0.5 },
    { label: 7, weight: -1 },
  ]);
  const extreme = [{ label: 4, weight: 1.5e308 }, { label: 5, weight: 1.5e308 }]; // their sum is infinite
  assert.deepEqual(terms({ label: extreme, guidance: 1 }, NULL).map(({ weight }) => weight), [0.5, 0.5]);
});

Deno.test("a label is evaluated once, with the sum of its weights", () => {
  const label = [{ label: 4, weight: 3 }, { label: 5, weight: 1 }, { label: 4, weight: 4 }];
  const some = [{ label: 4, weight: 1.75 }, { label: 5, weight: -0.75 }];
  assert.deepEqual(terms({ label, guidance: 2, negative: 5 }, NULL), some);
  assert.deepEqual(terms({ label: 4, guidance: 3, negative: 4 }, NULL), [{ label: 4, weight: 1 }]);
});

Deno.test("guidance holds above the first noise level of its interval and up to the second", () => {
  const image: Guided = { label: 2, guidance: 3, guidanceInterval: [0.5, 4] };
  const guided = [{ label: 2, weight: 3 }, { label: NULL, weight: -2 }];
  const plain = [{ label: 2, weight: 1 }];
  for (
    const [sigma, expected] of [[0.01, plain], [0.5, plain], [0.51, guided], [4, guided], [
      4.1,
      plain,
    ]] as const
  ) {
    assert.deepEqual(terms(image, NULL, sigma), expected, `sigma ${sigma}`);
  }
  assert.deepEqual(terms(image, NULL, Infinity), plain);
  const everywhere: Guided = { ...image, guidanceInterval: [0, Infinity] };
  for (const sigma of [1e-9, 1, Infinity]) assert.deepEqual(terms(everywhere, NULL, sigma), guided);
});

Deno.test("an image reserves the rows of its largest step", () => {
  const mixture = [{ label: 4, weight: 1 }, { label: 5, weight: 1 }];
  const rows = (image: Guided) => networkRows(image);
  assert.deepEqual([rows({ label: 2, guidance: 1 }), rows({ label: 2, guidance: 3 })], [1, 2]);
  assert.equal(rows({ label: mixture, guidance: 0 }), 1);
  assert.equal(rows({ label: mixture, guidance: 0, guidanceInterval: [0, 1] }), 2);
  assert.equal(rows({ label: mixture, guidance: 3, guidanceInterval: [0, 1] }), 3);
});

Deno.test("rescaling needs the conditional output, and none where that is the output", () => {
  const step = (image: Guided, sigma = 1) => {
    const { terms, rescale } = guidanceStep(image, sigma, NULL);
    return { terms, rescale };
  };
  const image: Guided = {
    label: [{ label: 2, weight: 3 }, { label: 3, weight: 1 }],
    guidance: 2,
    guidanceRescale: 0.7,
  };
  assert.deepEqual(step(image), {
    rescale: 0.7,
    terms: [
      { label: 2, weight: 1.5, conditional: 0.75 },
      { label: 3, weight: 0.5, conditional: 0.25 },
      { label: NULL, weight: -1, conditional: 0 },
    ],
  });
  const plain = [{ label: 2, weight: 1, conditional: 1 }];
  assert.deepEqual(step({ label: 2, guidance: 1, guidanceRescale: 0.7 }), { rescale: 0, terms: plain });
  const outside: Guided = { label: 2, guidance: 2, guidanceRescale: 0.7, guidanceInterval: [0, 0.5] };
  assert.deepEqual(step(outside), { rescale: 0, terms: plain });
  assert.deepEqual(step({ label: 2, guidance: 0, guidanceRescale: 0.7 }), {
    rescale: 0.7,
    terms: [{ label: 2, weight: 0, conditional: 1 }, { label: NULL, weight: 1, conditional: 0 }],
  });
});

Deno.test("a guiding network has the part of the negative class, for the image's own classes by default", () => {
  const step = (image: Guided) => {
    const { terms, guideTerms } = guidanceStep(image, 1, NULL, true);
    return [terms, guideTerms].map((all) => all.map(({ label, weight }) => [label, weight]));
  };
  const label = [{ label: 4, weight: 3 }, { label: 5, weight: 1 }];
  assert.deepEqual(step({ label: 2, guidance: 3 }), [[[2, 3]], [[2, -2]]]);
  assert.deepEqual(step({ label, guidance: 2 }), [[[4, 1.5], [5, 0.5]], [[4, -0.75], [5, -0.25]]]);
  assert.deepEqual(step({ label, guidance: 2, negative: 7 }), [[[4, 1.5], [5, 0.5]], [[7, -1]]]);
  assert.deepEqual(step({ label: 2, guidance: 1 }), [[[2, 1]], []]);
  assert.deepEqual(step({ label: 2, guidance: 0 }), [[[2, 0]], [[2, 1]]]); // a slot without rows would be idle
  assert.equal(networkRows({ label, guidance: 2 }, true), 2);
});

Deno.test("the settings of guidance are picked from others, without those that are not set", () => {
  const request = { label: 1, seed: 4, guidance: 2, negative: undefined, guidanceRescale: 0, steps: 3 };
  assert.deepEqual(guidanceOf(request), { guidance: 2, guidanceRescale: 0 });
});

Deno.test("a number of guidance out of range is refused by name", () => {
  for (const guidance of [0, 1, 2.5]) {
    checkGuidance({ guidance, guidanceRescale: 1, guidanceInterval: [0, Infinity] });
  }
  const wrong: [string, object][] = [
    ...[-1, NaN, Infinity].map((guidance): [string, object] => ["guidance", { guidance }]),
    ...[-0.1, 1.1, NaN].map((guidanceRescale): [string, object] => ["guidanceRescale", { guidanceRescale }]),
    ...[[2, 1], [1, 1], [-1, 1], [NaN, 1], [0, NaN], [Infinity, Infinity], [0, 1, 2]]
      .map((guidanceInterval): [string, object] => ["guidanceInterval", { guidanceInterval }]),
  ];
  for (const [field, change] of wrong) {
    assert.throws(
      () => checkGuidance({ guidance: 2, ...change }),
      (error) => error instanceof ConfigError && error.field === field,
      JSON.stringify(change),
    );
  }
});
