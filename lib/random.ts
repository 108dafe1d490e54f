/**
 * Counter-based random numbers: the same integers on every adapter and in TypeScript, in any order, with no state to
 * carry along. A number is a pure function of a 128-bit counter (which draw) and a 64-bit key (which stream).
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), Threefry4x32 with 13
 * rounds, as in Random123's known answers. `kernels/include/threefry.wgsl` is the twin of this file: the integers agree bit for
 * bit, the floats up to rounding.
 *
 * @module
 */

import { ConfigError } from "./errors.ts";

/** Four unsigned 32-bit words: a Threefry counter, and what Threefry makes of it. */
export type Words4 = [number, number, number, number];

/** Two unsigned 32-bit words: a Threefry key, that is a seed cut in two. */
export type Words2 = [number, number];

/** Rotations of a round's two halves; the rounds take them in turn. */
const ROTATIONS = [[10, 26], [11, 21], [13, 27], [23, 5], [6, 20], [17, 11], [25, 10], [18, 20]] as const;
const ROUNDS = 13;
/** The last word of the key schedule is this, xored with the key: no key leaves all words zero. */
const PARITY = 0x1bd11bda;

/** Last counter word of {@link permutation}, so that its draws never meet those of another use of the same seed. */
const PERMUTATION_STREAM = 0x7065726d;

/**
 * Four random 32-bit words for one counter and key.
 *
 * @param counter which draw: any four words in [0, 2^32)
 * @param key which stream, e.g. {@link splitSeed} of a seed; the other two words of Threefry's key are zero
 * @returns four independent uniform words in [0, 2^32)
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { splitSeed, threefry4x32 } from "./random.ts";
 *
 * assert.equal(threefry4x32([0, 0, 0, 0], splitSeed(0))[0], 0x531c7e4f);
 * ```
 */
export function threefry4x32(counter: Readonly<Words4>, key: Readonly<Words2>): Words4 {
  const schedule = [key[0], key[1], 0, 0, key[0] ^ key[1] ^ PARITY];
  let [x0, x1, x2, x3] = counter;
  x0 += key[0];
  x1 += key[1];
  for (let round = 0; round < ROUNDS; round++) {
    const [left, right] = ROTATIONS[round % 8];
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << left) | (x1 >>> (32 - left))) ^ x0;
    x2 = (x2 + x3) | 0;
    x3 = ((x3 << right) | (x3 >>> (32 - right))) ^ x2;
    [x1, x3] = [x3, x1];
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      x0 += schedule[injection % 5];
      x1 += schedule[(injection + 1) % 5];
      x2 += schedule[(injection + 2) % 5];
      x3 += schedule[(injection + 3) % 5] + injection;
    }
  }
  // The words that the last round exchanged for a next one go back.
  return [x0 >>> 0, x3 >>> 0, x2 >>> 0, x1 >>> 0];
}

/**
 * A uniform number in [0, 1) from one random word: `(x >>> 8) * 2^-24`, which float32 holds exactly.
 *
 * @param x a word in [0, 2^32)
 */
export function uniform01(x: number): number {
  return (x >>> 8) * 2 ** -24;
}

/**
 * High 32 bits of the 64-bit product of two unsigned 32-bit integers, from 16-bit halves: every partial sum stays
 * below 2^32, so it is exact, and the same lines work in WGSL.
 */
function multiplyHigh(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + (Math.imul(aLow, bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (carry >>> 16)) >>> 0;
}

/**
 * An integer in [0, n) from one random word: the high word of `x * n` (Lemire 2019, without the rejection). A value's
 * probability is off by at most 2^-32, which for the `n` met here is far below what any run could show.
 *
 * @param x a word in [0, 2^32)
 * @param n how many values, 1 to 2^32 - 1
 */
export function uniformInteger(x: number, n: number): number {
  return multiplyHigh(x, n);
}

/**
 * Two independent standard normal numbers from two random words (Box and Muller 1958):
 * `u1 = ((a >>> 9) + 0.5) * 2^-23`, `u2 = (b >>> 8) * 2^-24 - 0.5`, `r = sqrt(-2 ln u1)`,
 * `[r cos(2 pi u2), r sin(2 pi u2)]`.
 *
 * The half keeps `u1` inside (0, 1) and exact in float32, so the logarithm is finite and the numbers stay within 5.77;
 * `u2` is centred because WGSL promises accuracy of `sin` and `cos` on [-pi, pi] only.
 *
 * @param a a word in [0, 2^32)
 * @param b a word in [0, 2^32), independent of `a`
 */
export function normal2(a: number, b: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log(((a >>> 9) + 0.5) * 2 ** -23));
  const angle = 2 * Math.PI * (uniform01(b) - 0.5);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

/**
 * Cuts a seed into the two words of a Threefry key.
 *
 * @param seed an integer in [0, 2^53 - 1]
 * @returns `[seed mod 2^32, floor(seed / 2^32)]`
 * @throws {ConfigError} if `seed` is anything else
 */
export function splitSeed(seed: number): Words2 {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new ConfigError("seed", seed, "an integer from 0 to 2^53 - 1");
  }
  return [seed >>> 0, Math.floor(seed / 2 ** 32)];
}

/**
 * Random permutation of `0 … n - 1` (Fisher and Yates, with Threefry): the order of an epoch's images, which stands for
 * `x_0 ~ q(x_0)` (Ho et al. 2020, Algorithm 1, line 2). It depends on its arguments alone, so a resumed run finds the same
 * order again.
 *
 * @param n how many, an integer in [0, 2^32 - 1]
 * @param seed the run's seed, an integer in [0, 2^53 - 1]
 * @param epoch which order, an integer in [0, 2^32 - 1]
 * @throws {ConfigError} if an argument is out of its range
 */
export function permutation(n: number, seed: number, epoch: number): Uint32Array {
  if (n >>> 0 !== n) throw new ConfigError("n", n, "an integer from 0 to 2^32 - 1");
  if (epoch >>> 0 !== epoch) throw new ConfigError("epoch", epoch, "an integer from 0 to 2^32 - 1");
  const key = splitSeed(seed);
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;

  let words: Words4 = [0, 0, 0, 0];
  for (let i = n - 1, draw = 0; i > 0; i--, draw++) {
    if (draw % 4 === 0) words = threefry4x32([draw >>> 2, epoch, 0, PERMUTATION_STREAM], key);
    const j = uniformInteger(words[draw % 4], i + 1);
    const moved = order[i];
    order[i] = order[j];
    order[j] = moved;
  }
  return order;
}
