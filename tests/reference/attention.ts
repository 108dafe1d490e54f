/** Multi-head attention by definition, in float64 loops: qkv [N, T, 3, C] (unpadded), y [N, T, C], heads slices of C. */

type Numbers = ArrayLike<number>;

export interface AttentionSizes {
  batch: number;
  length: number;
  channels: number;
  heads: number;
}

/** Visits every head: `at(part, position, d)` is an index in qkv, `out(position, d)` one in y. */
function eachHead(
  { batch, length, channels, heads }: AttentionSizes,
  visit: (
    at: (part: 0 | 1 | 2, i: number, d: number) => number,
    out: (i: number, d: number) => number,
    first: number,
  ) => void,
): void {
  const size = channels / heads;
  for (let n = 0; n < batch; n++) {
    for (let h = 0; h < heads; h++) {
      visit(
        (part, i, d) => ((n * length + i) * 3 + part) * channels + h * size + d,
        (i, d) => (n * length + i) * channels + h * size + d,
        (n * heads + h) * length * length,
      );
    }
  }
}

/** Softmax of the scores, [N, heads, T, T], and y. */
export function attentionReference(
  s: AttentionSizes,
  qkv: Numbers,
): { weights: Float64Array; y: Float64Array } {
  const { length, channels, heads } = s;
  const size = channels / heads;
  const weights = new Float64Array(s.batch * heads * length * length);
  const y = new Float64Array(s.batch * length * channels);
  eachHead(s, (at, out, first) => {
    for (let i = 0; i < length; i++) {
      const row = Array.from({ length }, (_, j) => {
        let sum = 0;
        for (let d = 0; d < size; d++) sum += qkv[at(0, i, d)] * qkv[at(1, j, d)];
        return sum / Math.sqrt(size);
      });
      const highest = Math.max(...row);
      const total = row.reduce((sum, v) => sum + Math.exp(v - highest), 0);
      row.forEach((v, j) => weights[first + i * length + j] = Math.exp(v - highest) / total);
      for (let j = 0; j < length; j++) {
        for (let d = 0; d < size; d++) y[out(i, d)] += weights[first + i * length + j] * qkv[at(2, j, d)];
      }
    }
  });
  return { weights, y };
}

/** Gradient of sum(y * dy) with respect to qkv, by the whole Jacobian of the softmax, p_j (delta_jk - p_k). */
export function attentionGradientReference(
  s: AttentionSizes,
  qkv: Numbers,
  weights: Numbers,
  dy: Numbers,
): Float64Array {
  const { length, channels, heads } = s;
  const size = channels / heads;
  const dqkv = new Float64Array(qkv.length);
  eachHead(s, (at, out, first) => {
    for (let i = 0; i < length; i++) {
      const p = Array.from({ length }, (_, j) => weights[first + i * length + j]);
      const dp = p.map((share, j) => {
        let sum = 0;
        for (let d = 0; d < size; d++) {
          sum += dy[out(i, d)] * qkv[at(2, j, d)];
          dqkv[at(2, j, d)] += share * dy[out(i, d)];
        }
        return sum;
      });
      for (let j = 0; j < length; j++) {
        let ds = 0;
        for (let k = 0; k < length; k++) ds += dp[k] * p[k] * (Number(j === k) - p[j]);
        for (let d = 0; d < size; d++) {
          dqkv[at(0, i, d)] += ds * qkv[at(1, j, d)] / Math.sqrt(size);
          dqkv[at(1, j, d)] += ds * qkv[at(0, i, d)] / Math.sqrt(size);
        }
      }
    }
  });
  return dqkv;
}
