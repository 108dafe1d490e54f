import assert from "node:assert/strict";
import { byteNats, scaledErfc } from "../../lib/evaluation/discretized_gaussian.ts";
import { assertClose } from "../support/close.ts";

interface GoldenDecoder {
  bytes: number[];
  estimate: number[];
  decoderVariance: number;
  /** Indices of pixels whose estimate is within three deviations. */
  near: number[];
  /** Their values. */
  decoder: number[];
}

const golden: { cases: GoldenDecoder[]; scaledErfc: [number, number][] } = JSON.parse(
  await Deno.readTextFile(new URL("../golden/variational_bound.json", import.meta.url)),
);

for (const [i, { bytes, estimate, decoderVariance, near, decoder }] of golden.cases.entries()) {
  Deno.test(`byteNats matches torch.distributions near the mean: case ${i}`, () => {
    assert.ok(near.length > 30 && near.some((at) => bytes[at] === 0 || bytes[at] === 255));
    const actual = near.map((at) => byteNats(bytes[at], estimate[at], Math.sqrt(decoderVariance)));
    assertClose(actual, decoder, { absolute: 1e-11 }, "nats");
  });
}

for (const [x, expected] of golden.scaledErfc) {
  Deno.test(`scaledErfc matches torch.special.erfcx: x=${x}`, () => {
    assertClose([scaledErfc(x)], [expected], { absolute: 0, relative: 2e-13 });
  });
}

for (const [mean, deviation] of [[0.1, 0.002], [-0.999, 0.05], [1, 0.01], [0.3, 0.5], [-3, 0.7]]) {
  Deno.test(`the probabilities of all bytes add up to 1: mean=${mean} deviation=${deviation}`, () => {
    let sum = 0;
    for (let byte = 0; byte < 256; byte++) sum += Math.exp(-byteNats(byte, mean, deviation));
    assertClose([sum], [1], { absolute: 1e-12 });
  });
}

Deno.test("byteNats stays finite far from the mean, where probabilities underflow", () => {
  // 1 - Phi(x) tends to exp(-x^2 / 2) / (x sqrt(2 pi)); the bin's other end adds nothing there.
  const lowest = (1 - 3 / 255 - -1) / 1e-3;
  const expected = lowest ** 2 / 2 + Math.log(lowest * Math.sqrt(2 * Math.PI));
  assertClose([byteNats(254, -1, 1e-3)], [expected], { absolute: 0, relative: 1e-9 });
  assertClose([byteNats(1, 1, 1e-3)], [expected], { absolute: 0, relative: 1e-9 });
});

Deno.test("byteNats is symmetric", () => {
  for (const [byte, mean] of [[0, -0.9], [100, 0.3], [255, 0.2]]) {
    assertClose([byteNats(255 - byte, -mean, 0.1)], [byteNats(byte, mean, 0.1)], {
      absolute: 0,
      relative: 1e-11,
    });
  }
});
