// SiLU (Elfwing, Uchibe, Doya 2018; "swish"): silu(x) = x s(x) with s(x) = 1 / (1 + exp(-x)), and its derivative
// s(x) (1 + x (1 - s(x))). An include: functions only. 1 - s = exp(-x) s avoids cancellation. The exponent is clamped: WGSL
// does not bound the error of division by more than 2^126, and s would be subnormal. So below -87 silu(x) is 1.6e-38 x, and the
// derivative is that at -87. silu(0) = 0, so padding stays zero; non-finite inputs give non-finite results.
//
// activate4 and its derivative are those of the kernel's activation: SiLU here; activation_source.ts makes variants with others.

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

fn activate4(x: vec4f) -> vec4f {
  return silu4(x);
}

fn activate4_derivative(x: vec4f) -> vec4f {
  return silu4_derivative(x);
}
