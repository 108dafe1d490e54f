/** Threefry4x32 with 13 rounds in big integers, straight from the paper, and normals in float64. */

const WORD = 0xffffffffn;
const ROTATIONS = [[10n, 26n], [11n, 21n], [13n, 27n], [23n, 5n], [6n, 20n], [17n, 11n], [25n, 10n], [
  18n,
  20n,
]];

/** Four random words of a counter and a key of two or four words. */
export function threefry(counter: readonly number[], key: readonly number[], rounds = 13): number[] {
  const k = [...key, 0, 0].slice(0, 4).map(BigInt);
  k.push(k.reduce((a, b) => a ^ b, 0x1bd11bdan));
  let x = counter.map((word, i) => (BigInt(word) + k[i]) & WORD);
  for (let round = 0; round < rounds; round++) {
    const [first, second] = ROTATIONS[round % 8];
    const [a, b, c, d] = x;
    x = round % 2 === 0
      ? [a + b, rotated(b, first) ^ ((a + b) & WORD), c + d, rotated(d, second) ^ ((c + d) & WORD)]
      : [a + d, rotated(b, second) ^ ((c + b) & WORD), c + b, rotated(d, first) ^ ((a + d) & WORD)];
    if (round % 4 === 3) {
      const s = (round + 1) / 4;
      x = x.map((word, i) => word + k[(s + i) % 5] + (i === 3 ? BigInt(s) : 0n));
    }
    x = x.map((word) => word & WORD);
  }
  return x.map(Number);
}

function rotated(word: bigint, by: bigint): bigint {
  return ((word << by) | (word >> (32n - by))) & WORD;
}

/** Four standard normal numbers of a counter and a key (Box and Muller 1958). */
export function normals(counter: readonly number[], key: readonly number[]): number[] {
  const [a, b, c, d] = threefry(counter, key);
  return [...boxMuller(a, b), ...boxMuller(c, d)];
}

function boxMuller(a: number, b: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log((Math.floor(a / 512) + 0.5) / 2 ** 23));
  const angle = 2 * Math.PI * (Math.floor(b / 256) / 2 ** 24 - 0.5);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}
