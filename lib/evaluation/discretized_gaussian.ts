/**
 * Likelihood of 8-bit pixels under a Gaussian: the discretized decoder of Ho et al. 2020 (equation 13).
 *
 * ```text
 * P(x) = Phi((x + 1/255 - mean) / deviation) - Phi((x - 1/255 - mean) / deviation)
 * ```
 *
 * with the lower bound minus infinity at x = -1 and the upper bound infinity at x = 1. Evaluated in logarithms with the scaled
 * complementary error function, so that it neither underflows nor loses digits in the tails.
 *
 * @module
 */

/** Half the width of a byte's bin in [-1, 1]. */
const HALF_BIN = 1 / 255;

/**
 * Negative logarithm of the probability of a byte, in nats.
 *
 * @param byte the pixel's value, 0 to 255, which is `2 byte / 255 - 1` in the network's range
 * @param mean mean of the Gaussian in that range
 * @param deviation its standard deviation, above 0
 */
export function byteNats(byte: number, mean: number, deviation: number): number {
  const distance = 2 * byte / 255 - 1 - mean;
  const scale = Math.SQRT1_2 / deviation;
  const low = byte === 0 ? -Infinity : (distance - HALF_BIN) * scale;
  const high = byte === 255 ? Infinity : (distance + HALF_BIN) * scale;
  // Phi(-x) = 1 - Phi(x): the bound that is nearer to the mean comes first.
  return low + high < 0 ? intervalNats(-high, -low) : intervalNats(low, high);
}

/** `-log((erfc(low) - erfc(high)) / 2)` for `low < high`, `low + high >= 0`. */
function intervalNats(low: number, high: number): number {
  if (low <= 0) return -Math.log1p(-(erfc(-low) + erfc(high)) / 2);
  const upper = high === Infinity ? 0 : Math.exp((low - high) * (low + high)) * scaledErfc(high);
  return low * low - Math.log((scaledErfc(low) - upper) / 2);
}

/** Complementary error function for x of 0 or more. */
function erfc(x: number): number {
  return x === Infinity ? 0 : Math.exp(-x * x) * scaledErfc(x);
}

/** Argument above which the continued fraction converges in fewer terms than the series. */
const SERIES_LIMIT = 2;
/** Terms of the continued fraction, enough for 15 digits from {@linkcode SERIES_LIMIT} on. */
const FRACTION_TERMS = 60;

/**
 * Scaled complementary error function `exp(x^2) erfc(x)` for x of 0 or more, to 13 digits or better (Abramowitz and Stegun
 * 1964, equations 7.1.6 and 7.1.14).
 */
export function scaledErfc(x: number): number {
  if (x >= SERIES_LIMIT) {
    let fraction = x;
    for (let k = FRACTION_TERMS; k > 0; k--) fraction = x + k / 2 / fraction;
    return 1 / (Math.sqrt(Math.PI) * fraction);
  }
  // erf(x) = 2 / sqrt(pi) exp(-x^2) sum over n of 2^n x^(2n+1) / (1 3 … (2n+1))
  let [term, sum] = [x, x];
  for (let n = 1; term > 1e-17 * sum; n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return Math.exp(x * x) - 2 / Math.sqrt(Math.PI) * sum;
}
