/** Philox4x32-10 in big integers, straight from the paper, and normals in float64. */

const WORD = 0xffffffffn;

/** Four random words of a counter and a key. */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let c = counter.map(BigInt);
  let [k0, k1] = key.map(BigInt);
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c[0];
    const p1 = 0xcd9e8d57n * c[2];
    c = [(p1 >> 32n) ^ c[1] ^ k0, p1 & WORD, (p0 >> 32n) ^ c[3] ^ k1, p0 & WORD];
    k0 = (k0 + 0x9e3779b9n) & WORD;
    k1 = (k1 + 0xbb67ae85n) & WORD;
  }
  return c.map(Number);
}

/** Four standard normal numbers of a counter and a key (Box and Muller 1958). */
export function normals(counter: readonly number[], key: readonly number[]): number[] {
  const [a, b, c, d] = philox(counter, key);
  return [...boxMuller(a, b), ...boxMuller(c, d)];
}

function boxMuller(a: number, b: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log((Math.floor(a / 512) + 0.5) / 2 ** 23));
  const angle = 2 * Math.PI * (Math.floor(b / 256) / 2 ** 24 - 0.5);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}
