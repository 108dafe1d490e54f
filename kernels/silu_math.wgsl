// SiLU (Elfwing, Uchibe, Doya 2018; "swish"): silu(x) = x s(x) with s(x) = 1 / (1 + exp(-x)), and its derivative
// s(x) (1 + x (1 - s(x))). An include: functions only. Only exp(-|x|) is taken, which cannot overflow, and 1 - s is
// formed without subtraction. silu(0) = 0, so padding stays zero.

fn silu4(x: vec4f) -> vec4f {
  let e = exp(-abs(x));
  return x * select(e, vec4f(1.0), x >= vec4f(0.0)) / (1.0 + e);
}

fn silu4_derivative(x: vec4f) -> vec4f {
  let e = exp(-abs(x));
  let inverse = 1.0 / (1.0 + e);
  let positive = x >= vec4f(0.0);
  let s = inverse * select(e, vec4f(1.0), positive);
  let one_minus_s = inverse * select(vec4f(1.0), e, positive);
  return s * (1.0 + x * one_minus_s);
}
