import assert from "node:assert/strict";
import { ConfigError } from "../lib/errors.ts";
import {
  normal2,
  permutation,
  splitSeed,
  threefry4x32,
  uniform01,
  uniformInteger,
  type Words2,
  type Words4,
} from "../lib/random.ts";
import { threefry } from "./reference/threefry.ts";

const ONES = 0xffffffff;

const PI = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0x082efa98, 0xec4e6c89];

Deno.test("the reference gives the published known answers (Random123, kat_vectors, threefry4x32 13 and 20)", () => {
  const zeros = [0, 0, 0, 0];
  const ones = [ONES, ONES, ONES, ONES];
  const [counter, key] = [PI.slice(0, 4), PI.slice(4)];
  const hex = (words: number[]) => words.map((word) => word.toString(16).padStart(8, "0")).join(" ");
  assert.equal(hex(threefry(zeros, zeros)), "531c7e4f 39491ee5 2c855a92 3d6abf9a");
  assert.equal(hex(threefry(ones, ones)), "c4189358 1c9cc83a d5881c67 6a0a89e0");
  assert.equal(hex(threefry(counter, key)), "4aa71d8f 734738c2 431fc6a8 ae6debf1");
  assert.equal(hex(threefry(zeros, zeros, 20)), "9c6ca96a e17eae66 fc10ecd4 5256a7d8");
  assert.equal(hex(threefry(counter, key, 20)), "59cd1dbb b8879579 86b5d00c ac8b6d84");
});

Deno.test("threefry4x32 equals the reference over a chain of 2,000 counters and keys", () => {
  let counter: Words4 = [ONES, ONES, ONES, ONES];
  let key: Words2 = [ONES, ONES];
  for (let i = 0; i < 2000; i++) {
    const words = threefry4x32(counter, key);
    assert.deepEqual(words, threefry(counter, key), `counter ${counter}, key ${key}`);
    key = [words[3], counter[0]];
    counter = words;
  }
});

Deno.test("a bit of the counter or the key changes each bit of threefry4x32's words half of the time", () => {
  const trials = 400;
  for (let flipped = 0; flipped < 192; flipped++) {
    const changes = new Uint32Array(128);
    for (let i = 0; i < trials; i++) {
      // Counters as kernels make them: small numbers, most bits zero.
      const input = [i, i % 7, 3, 2, 42, 0];
      const before = threefry4x32(input.slice(0, 4) as Words4, input.slice(4) as Words2);
      input[flipped >>> 5] = (input[flipped >>> 5] ^ (1 << (flipped % 32))) >>> 0;
      const after = threefry4x32(input.slice(0, 4) as Words4, input.slice(4) as Words2);
      for (let bit = 0; bit < 128; bit++) {
        changes[bit] += ((before[bit >>> 5] ^ after[bit >>> 5]) >>> (bit % 32)) & 1;
      }
    }
    // 24,576 pairs of bits: seven standard errors, sqrt(trials) / 2, have probability 6e-8.
    for (const [bit, count] of changes.entries()) {
      assert.ok(
        Math.abs(count - trials / 2) < 70,
        `input bit ${flipped}, output bit ${bit}: ${count} of ${trials}`,
      );
    }
  }
});

Deno.test("uniform01 is exact in float32 and stays inside [0, 1)", () => {
  assert.equal(uniform01(0), 0);
  assert.equal(uniform01(0x80000000), 0.5);
  assert.equal(uniform01(ONES), 1 - 2 ** -24);
  for (const x of threefry4x32([7, 0, 0, 0], [1, 1])) assert.equal(Math.fround(uniform01(x)), uniform01(x));
});

Deno.test("uniformInteger is floor(x n / 2^32), exactly", () => {
  for (let i = 0; i < 500; i++) {
    const [x, n] = threefry4x32([i, 0, 0, 0], [9, 9]);
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
    const [a, b, c, d] = threefry4x32([i, 0, 0, 0], splitSeed(42));
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
