// Activations and their derivatives, chosen by `activation`, which numbers them as `ACTIVATIONS` in activation.ts. An include:
// functions only. Every activation is 0 at 0, so padding stays zero; non-finite inputs give non-finite results.

override activation: u32 = 0;

const SILU: u32 = 1;
const MISH: u32 = 2;
const GELU: u32 = 3;
const RELU: u32 = 4;

// SiLU (Elfwing, Uchibe, Doya 2018; "swish"): x s(x) with s(x) = 1 / (1 + exp(-x)), and its derivative s(x) (1 + x (1 - s(x))).
// 1 - s = exp(-x) s avoids cancellation. The exponent is clamped: WGSL does not bound the error of division by more than 2^126,
// and s would be subnormal. So below -87 silu(x) is 1.6e-38 x, and the derivative is that at -87.

fn exp_of_minus(x: vec4f) -> vec4f {
  return exp(min(-x, vec4f(87.0)));
}

fn silu4(x: vec4f) -> vec4f {
  return x / (1.0 + exp_of_minus(x));
}

fn silu4_derivative(x: vec4f) -> vec4f {
  let e = exp_of_minus(x);
  let s = 1.0 / (1.0 + e);
  return s * (1.0 + max(x, vec4f(-87.0)) * (e * s));
}

// Mish (Misra 2019, arXiv 1908.08681): x tanh(ln(1 + w)) with w = exp(x); tanh is n / (n + 2) with n = w (w + 2), and 1 to
// float32 above 20.

fn mish4(x: vec4f) -> vec4f {
  let w = exp(min(x, vec4f(20.0)));
  let n = w * (w + 2.0);
  return x * (n / (n + 2.0));
}

fn mish4_derivative(x: vec4f) -> vec4f {
  let w = exp(min(x, vec4f(20.0)));
  let n = w * (w + 2.0);
  let d = n + 2.0;
  return n / d + x * (4.0 * (n + 1.0) / d / d) * (w / (1.0 + w));
}

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

fn activate4(x: vec4f) -> vec4f {
  switch activation {
    case SILU: { return silu4(x); }
    case MISH: { return mish4(x); }
    case GELU: { return gelu4(x); }
    case RELU: { return select(x, vec4f(), x < vec4f()); }
    default: { return x; }
  }
}

fn activate4_derivative(x: vec4f) -> vec4f {
  switch activation {
    case SILU: { return silu4_derivative(x); }
    case MISH: { return mish4_derivative(x); }
    case GELU: { return gelu4_derivative(x); }
    case RELU: { return select(vec4f(), vec4f(1.0), x > vec4f()); }
    default: { return vec4f(1.0); }
  }
}
