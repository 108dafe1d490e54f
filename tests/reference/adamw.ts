/** Gradient clipping, AdamW and the weights' running average in float64, as torch documents them. */

export interface AdamWReferenceOptions {
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  maxNorm: number;
}

export class AdamWReference {
  readonly parameters: number[];
  readonly first: number[];
  readonly second: number[];
  readonly ema: number[];
  #options: AdamWReferenceOptions;
  #t = 0;

  constructor(parameters: ArrayLike<number>, options: AdamWReferenceOptions) {
    this.parameters = Array.from(parameters);
    this.ema = Array.from(parameters);
    this.first = this.parameters.map(() => 0);
    this.second = this.parameters.map(() => 0);
    this.#options = options;
  }

  /** @returns the norm before clipping */
  step(gradients: ArrayLike<number>, learningRate: number, emaDecay: number): number {
    const { beta1, beta2, eps, weightDecay, maxNorm } = this.#options;
    const norm = normReference(gradients);
    const clip = maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1;
    this.#t++;
    for (let i = 0; i < this.parameters.length; i++) {
      const g = clip * gradients[i];
      this.parameters[i] *= 1 - learningRate * weightDecay;
      this.first[i] = beta1 * this.first[i] + (1 - beta1) * g;
      this.second[i] = beta2 * this.second[i] + (1 - beta2) * g * g;
      const denominator = Math.sqrt(this.second[i]) / Math.sqrt(1 - beta2 ** this.#t) + eps;
      this.parameters[i] -= learningRate / (1 - beta1 ** this.#t) * this.first[i] / denominator;
      this.ema[i] = emaDecay * this.ema[i] + (1 - emaDecay) * this.parameters[i];
    }
    return norm;
  }
}

export function normReference(gradients: ArrayLike<number>): number {
  return Math.sqrt(Array.from(gradients).reduce((sum, g) => sum + g * g, 0));
}
