import assert from "node:assert/strict";
import { ConfigError } from "../lib/errors.ts";
import {
  normal2,
  permutation,
  philox4x32,
  splitSeed,
  uniform01,
  uniformInteger,
  type Words2,
  type Words4,
} from "../lib/random.ts";

/** Philox straight from the paper, in BigInt: shares no line with the module under test. */
function philoxBigInt(counter: Words4, key: Words2): Words4 {
  const mask = 0xffffffffn;
  let [a, b, c, d] = counter.map(BigInt);
  let [k, l] = key.map(BigInt);
  for (let round = 0; round < 10; round++) {
    const p = 0xd2511f53n * a;
    const q = 0xcd9e8d57n * c;
    [a, b, c, d] = [(q >> 32n) ^ b ^ k, q & mask, (p >> 32n) ^ d ^ l, p & mask];
    k = (k + 0x9e3779b9n) & mask;
    l = (l + 0xbb67ae85n) & mask;
  }
  return [Number(a), Number(b), Number(c), Number(d)];
}

const ONES = 0xffffffff;

Deno.test("philox4x32 gives the published known answers (Random123, kat_vectors, philox4x32 10)", () => {
  assert.deepEqual(philox4x32([0, 0, 0, 0], [0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  assert.deepEqual(philox4x32([ONES, ONES, ONES, ONES], [ONES, ONES]), [
    0x408f276d,
    0x41c83b0e,
    0xa20bc7c6,
    0x6d5451fd,
  ]);
  assert.deepEqual(philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]), [
    0xd16cfe09,
    0x94fdcceb,
    0x5001e420,
    0x24126ea1,
  ]);
});

Deno.test("philox4x32 equals the paper's definition in BigInt over a chain of 2,000 counters and keys", () => {
  let counter: Words4 = [1, 2, 3, 4];
  let key: Words2 = [5, 6];
  for (let i = 0; i < 2000; i++) {
    const words = philox4x32(counter, key);
    assert.deepEqual(words, philoxBigInt(counter, key), `counter ${counter}, key ${key}`);
    key = [words[3], counter[0]];
    counter = words;
  }
});

Deno.test("uniform01 is exact in float32 and stays inside [0, 1)", () => {
  assert.equal(uniform01(0), 0);
  assert.equal(uniform01(0x80000000), 0.5);
  assert.equal(uniform01(ONES), 1 - 2 ** -24);
  for (const x of philox4x32([7, 0, 0, 0], [1, 1])) assert.equal(Math.fround(uniform01(x)), uniform01(x));
});

Deno.test("uniformInteger is floor(x n / 2^32), exactly", () => {
  for (let i = 0; i < 500; i++) {
    const [x, n] = philox4x32([i, 0, 0, 0], [9, 9]);
    assert.equal(uniformInteger(x, n), Number((BigInt(x) * BigInt(n)) >> 32n));
  }
  assert.equal(uniformInteger(ONES, 10), 9);
  assert.equal(uniformInteger(ONES, 1), 0);
});

Deno.test("normal2 is finite at the extreme words and bounded by 5.77", () => {
  for (const a of [0, 1, ONES]) {
    for (const b of [0, 0x80000000, ONES]) {
      for (const z of normal2(a, b)) {
        assert.ok(Number.isFinite(z) && Math.abs(z) < 5.77, `normal2(${a}, ${b}) = ${z}`);
      }
    }
  }
});

Deno.test("200,000 normal numbers have the moments of a standard normal", () => {
  const count = 200_000;
  const sums = [0, 0, 0, 0];
  let crossed = 0;
  for (let i = 0; i < count / 4; i++) {
    const [a, b, c, d] = philox4x32([i, 0, 0, 0], splitSeed(42));
    const [p, q] = normal2(a, b);
    const [r, s] = normal2(c, d);
    crossed += p * q + r * s;
    for (const z of [p, q, r, s]) for (let k = 0; k < 4; k++) sums[k] += z ** (k + 1);
  }
  // Bounds are five standard errors: sqrt(1, 2, 15, 96) / sqrt(count) for the four moments.
  const expected = [0, 1, 0, 3];
  const variance = [1, 2, 15, 96];
  for (let k = 0; k < 4; k++) {
    const moment = sums[k] / count;
    assert.ok(
      Math.abs(moment - expected[k]) < 5 * Math.sqrt(variance[k] / count),
      `moment ${k + 1} is ${moment}`,
    );
  }
  assert.ok(
    Math.abs(crossed / (count / 2)) < 5 / Math.sqrt(count / 2),
    "the two numbers of a pair are correlated",
  );
});

Deno.test("splitSeed keeps all 53 bits and refuses anything else by name", () => {
  assert.deepEqual(splitSeed(0), [0, 0]);
  assert.deepEqual(splitSeed(2 ** 32), [0, 1]);
  assert.deepEqual(splitSeed(Number.MAX_SAFE_INTEGER), [ONES, 2 ** 21 - 1]);
  for (const seed of [-1, 0.5, NaN, Infinity, 2 ** 53, "7" as unknown as number]) {
    assert.throws(() => splitSeed(seed), (error) => error instanceof ConfigError && error.field === "seed");
  }
});

Deno.test("permutation visits each index once and repeats for the same seed and epoch", () => {
  for (const n of [0, 1, 2, 5, 1000]) {
    const order = permutation(n, 3, 4);
    assert.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
    assert.deepEqual(order, permutation(n, 3, 4));
  }
});

Deno.test("permutation differs by epoch, by the low and by the high word of the seed", () => {
  const orders = [[7, 0], [7, 1], [8, 0], [7 + 2 ** 32, 0]].map(([s, e]) => permutation(100, s, e).join());
  assert.equal(new Set(orders).size, orders.length);
});

Deno.test("permutation puts each of 4 items in each place equally often", () => {
  const trials = 24_000;
  const counts = new Map<string, number>();
  for (let epoch = 0; epoch < trials; epoch++) {
    const order = permutation(4, 11, epoch).join();
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assert.equal(counts.size, 24);
  const expected = trials / 24;
  let chiSquared = 0;
  for (const count of counts.values()) chiSquared += (count - expected) ** 2 / expected;
  assert.ok(chiSquared < 52, `chi-squared ${chiSquared} with 23 degrees of freedom; 52 has probability 5e-4`);
});

Deno.test("permutation refuses sizes and epochs out of range by name", () => {
  assert.throws(() => permutation(-1, 0, 0), (error) => error instanceof ConfigError && error.field === "n");
  assert.throws(
    () => permutation(4, 0, 1.5),
    (error) => error instanceof ConfigError && error.field === "epoch",
  );
});
