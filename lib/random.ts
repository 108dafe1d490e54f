/**
 * Counter-based random number generator without state: a number is a pure function of a 128-bit counter (the draw) and a
 * 64-bit key (the stream), the same in TypeScript and on every adapter.
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), Threefry4x32 with 13
 * rounds, tested against Random123's known answers. `kernels/include/threefry.wgsl` is the WGSL version of this file:
 * integers are bit-identical, floats agree up to rounding.
 *
 * @module
 */

import { checkWhole } from "./checks.ts";

/** Four unsigned 32-bit words: a Threefry counter or result. */
export type Words4 = [number, number, number, number];

/** Two unsigned 32-bit words: a Threefry key, low word first. */
export type Words2 = [number, number];

/** Rotation constants of a round's two halves (R_32x4 in Random123), with period 8. */
const ROTATIONS = [[10, 26], [11, 21], [13, 27], [23, 5], [6, 20], [17, 11], [25, 10], [18, 20]] as const;
const ROUNDS = 13;
/** Parity constant of the key schedule (SKEIN_KS_PARITY32 in Random123), so that no key schedule is all zero. */
const PARITY = 0x1bd11bda;

/** Last counter word of {@link permutation}; no other use of a seed has it. */
const PERMUTATION_STREAM = 0x7065726d;

/**
 * Draws four random 32-bit words.
 *
 * @param counter the draw: any four words in [0, 2^32)
 * @param key the stream, e.g. {@link splitSeed} of a seed; the other two words of Threefry's key are zero
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
    const [left, right] = ROTATIONS[round % 8]!; // 8 entries
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << left) | (x1 >>> (32 - left))) ^ x0;
    x2 = (x2 + x3) | 0;
    x3 = ((x3 << right) | (x3 >>> (32 - right))) ^ x2;
    [x1, x3] = [x3, x1];
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      x0 += schedule[injection % 5]!; // 5 words
      x1 += schedule[(injection + 1) % 5]!;
      x2 += schedule[(injection + 2) % 5]!;
      x3 += schedule[(injection + 3) % 5]! + injection;
    }
  }
  // Undo the last round's permutation of the words.
  return [x0 >>> 0, x3 >>> 0, x2 >>> 0, x1 >>> 0];
}

/**
 * Uniform number in [0, 1) from one random word: `(x >>> 8) * 2^-24`, exact in float32.
 *
 * @param x a word in [0, 2^32)
 */
export function uniform01(x: number): number {
  return (x >>> 8) * 2 ** -24;
}

/**
 * High 32 bits of the 64-bit product of two unsigned 32-bit integers, from 16-bit halves: every partial sum stays
 * below 2^32, so that the same arithmetic is exact in WGSL.
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
 * Uniform integer in [0, n) from one random word: the high word of `x * n` (Lemire 2019, without rejection). The bias is
 * at most 2^-32 per value, not detectable for the `n` used here.
 *
 * @param x a word in [0, 2^32)
 * @param n number of values, 1 to 2^32 - 1
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
 * Splits a seed into the two words of a Threefry key.
 *
 * @param seed an integer in [0, 2^53 - 1]
 * @returns `[seed mod 2^32, floor(seed / 2^32)]`
 * @throws {ConfigError} if `seed` is anything else
 */
export function splitSeed(seed: number): Words2 {
  checkWhole("seed", seed, 0, Number.MAX_SAFE_INTEGER);
  return [seed >>> 0, Math.floor(seed / 2 ** 32)];
}

/**
 * Random permutation of `0 … n - 1` (Fisher-Yates shuffle): the order of an epoch's images, in place of independent draws
 * `x_0 ~ q(x_0)` (Ho et al. 2020, Algorithm 1, line 2). It depends on the arguments alone, so a resumed run repeats it.
 *
 * @param n length, an integer in [0, 2^32 - 1]
 * @param seed the run's seed, an integer in [0, 2^53 - 1]
 * @param epoch the epoch, an integer in [0, 2^32 - 1]
 * @throws {ConfigError} if an argument is out of its range
 */
export function permutation(n: number, seed: number, epoch: number): Uint32Array {
  checkWhole("n", n, 0, 2 ** 32 - 1);
  checkWhole("epoch", epoch, 0, 2 ** 32 - 1);
  const key = splitSeed(seed);
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;

  let words: Words4 = [0, 0, 0, 0];
  for (let i = n - 1, draw = 0; i > 0; i--, draw++) {
    if (draw % 4 === 0) words = threefry4x32([draw >>> 2, epoch, 0, PERMUTATION_STREAM], key);
    const j = uniformInteger(words[draw % 4]!, i + 1); // 4 words, and j <= i < n
    const moved = order[i]!;
    order[i] = order[j]!;
    order[j] = moved;
  }
  return order;
}
