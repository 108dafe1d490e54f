/**
 * Variants of kernels with an activation other than SiLU. Variants of the text, because a branch in every unrolled store takes a
 * software adapter minutes to compile.
 *
 * @module
 */
import { cachedKernel } from "./products/gemm.ts";
import type { KernelSource } from "./source.ts";

/** Activations, under the names that diffusers has for them. */
export const ACTIVATIONS: readonly Activation[] = ["silu", "mish", "gelu", "relu"];

/** An elementwise function between two layers. */
export type Activation = "silu" | "mish" | "gelu" | "relu";

/**
 * WGSL of `NAME4` and `NAME4_derivative`. Every activation is 0 at 0, so padding stays zero; non-finite inputs give non-finite
 * results.
 */
const functions: Readonly<Record<Exclude<Activation, "silu">, string>> = {
  mish: `
// Mish (Misra 2019, arXiv 1908.08681): x tanh(ln(1 + w)) with w = exp(x); tanh is n / (n + 2) with n = w (w + 2), and 1 to
// float32 above 20.

fn mish4(x: vec4f) -> vec4f {
  let w = exp(min(x, vec4f(20.0)));
  let n = w * (w + 2.0);
  return x * (n / (n + 2.0));
}

fn mish4_derivative(x: vec4f) -> vec4f {
  let bounded = min(x, vec4f(20.0));
  let w = exp(bounded);
  let n = w * (w + 2.0);
  let d = n + 2.0;
  return n / d + bounded * (4.0 * (n + 1.0) / d / d) * (w / (1.0 + w));
}
`,
  gelu: `
// GELU (Hendrycks and Gimpel 2016, arXiv 1606.08415): x P(X <= x) of a standard normal X. Its tail by Abramowitz and Stegun 7.1.26,
// to 1.5e-7 of erfc.

fn normal_cdf4(x: vec4f) -> vec4f {
  let t = 1.0 / (1.0 + 0.3275911 * 0.70710678 * abs(x));
  let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let tail = 0.5 * series * exp(-0.5 * x * x);
  return select(tail, 1.0 - tail, x >= vec4f());
}

fn gelu4(x: vec4f) -> vec4f {
  return x * normal_cdf4(x);
}

fn gelu4_derivative(x: vec4f) -> vec4f {
  return normal_cdf4(x) + x * (0.39894228 * exp(-0.5 * x * x));
}
`,
  relu: `
fn relu4(x: vec4f) -> vec4f {
  return select(x, vec4f(), x < vec4f());
}

fn relu4_derivative(x: vec4f) -> vec4f {
  return select(vec4f(), vec4f(1.0), x > vec4f());
}
`,
};

/**
 * Variant of a kernel that includes activation.wgsl.
 *
 * @param activation SiLU or none leaves the kernel as it is
 * @throws {RangeError} if the kernel does not include it
 */
export function withActivation(base: KernelSource, activation: Activation | undefined): KernelSource {
  if (activation === undefined || activation === "silu") return base;
  return cachedKernel(`${base.name}_${activation}`, () => {
    const calls = base.code
      .replace("return silu4(x);", `return ${activation}4(x);`)
      .replace("return silu4_derivative(x);", `return ${activation}4_derivative(x);`);
    if (calls === base.code) throw new RangeError(`kernel ${base.name} has no activation`);
    return calls + functions[activation];
  });
}
