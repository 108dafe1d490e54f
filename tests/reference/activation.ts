/** Activations by definition, in float64. */

export type ActivationName = keyof typeof activations;

/** The function and its derivative. */
interface Definition {
  readonly of: (x: number) => number;
  readonly derivative: (x: number) => number;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** erfc(x) for x >= 0 by Lentz's continued fraction from 2 on, by the Taylor series of erf below. */
function erfc(x: number): number {
  if (x < 2) {
    let [term, sum] = [x, x];
    for (let n = 1; n < 60; n++) {
      term *= -x * x / n;
      sum += term / (2 * n + 1);
    }
    return 1 - 2 / Math.sqrt(Math.PI) * sum;
  }
  let fraction = 0;
  for (let n = 120; n > 0; n--) fraction = n / 2 / (x + fraction);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}

const normalCdf = (x: number) => x < 0 ? erfc(-x / Math.SQRT2) / 2 : 1 - erfc(x / Math.SQRT2) / 2;

export const activations = {
  silu: {
    of: (x) => x * sigmoid(x),
    derivative: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
  },
  mish: {
    of: (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
    derivative: (x) => {
      const t = Math.tanh(Math.log1p(Math.exp(x)));
      return t + x * (1 - t * t) * sigmoid(x);
    },
  },
  gelu: {
    of: (x) => x * normalCdf(x),
    derivative: (x) => normalCdf(x) + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI),
  },
  relu: { of: (x) => Math.max(x, 0), derivative: (x) => x > 0 ? 1 : 0 },
} as const satisfies Record<string, Definition>;

/** y = f(x). */
export function activationReference(name: ActivationName, x: ArrayLike<number>): Float64Array {
  return Float64Array.from(x, activations[name].of);
}

/** dx = dy f'(x). */
export function activationGradientReference(
  name: ActivationName,
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
): Float64Array {
  return Float64Array.from(x, (v, i) => dy[i] * activations[name].derivative(v));
}
