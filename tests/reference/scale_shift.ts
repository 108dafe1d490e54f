/** Scale and shift of adaptive group normalisation, by definition: gamma, beta [C]; scale, shift, results [N, C]. */

type Numbers = ArrayLike<number>;

/** Parameters of a modulation. */
export interface Modulation {
  readonly gamma: Numbers;
  readonly beta: Numbers;
  readonly scale: Numbers;
  readonly shift: Numbers;
}

/** Gamma and beta of each sample. */
export function scaleShiftReference({ gamma, beta, scale, shift }: Modulation) {
  const channels = gamma.length;
  const each = (value: (i: number, c: number) => number) =>
    Float64Array.from({ length: scale.length }, (_, i) => value(i, i % channels));
  return {
    gamma: each((i, c) => gamma[c] * (1 + scale[i])),
    beta: each((i, c) => beta[c] * (1 + scale[i]) + shift[i]),
  };
}

/** Gradients of `sum(gamma' dgamma + beta' dbeta)`, gamma' and beta' being the results. */
export function scaleShiftGradientReference(
  { gamma, beta, scale }: Modulation,
  { dgamma, dbeta }: { dgamma: Numbers; dbeta: Numbers },
) {
  const channels = gamma.length;
  const gradients = {
    gamma: new Float64Array(channels),
    beta: new Float64Array(channels),
    scale: new Float64Array(scale.length),
    shift: Float64Array.from(dbeta),
  };
  for (let i = 0; i < scale.length; i++) {
    const c = i % channels;
    gradients.gamma[c] += dgamma[i] * (1 + scale[i]);
    gradients.beta[c] += dbeta[i] * (1 + scale[i]);
    gradients.scale[i] = dgamma[i] * gamma[c] + dbeta[i] * beta[c];
  }
  return gradients;
}
