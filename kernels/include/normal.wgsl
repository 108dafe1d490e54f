// Normal random numbers by the Box-Muller transform. An include: functions only. Same as lib/random.ts, up to rounding.
// WGSL's own log, sin and cos may be off by 2^-21 and 2^-11, so they are not used.

// include: include/sine_cosine.wgsl

const LN_2 = 0.6931471805599453;
const SQRT_HALF = 0x3f3504f3u; // sqrt(1/2) as float32 bits

// Natural logarithm of a positive normal float32: x = 2^e m with m in [sqrt(1/2), sqrt(2)), and
// log m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.172. The series is off by 1e-9; near 1 the relative error stays
// that of the division.
fn natural_log(x: f32) -> f32 {
  let e = bitcast<i32>(bitcast<u32>(x) - SQRT_HALF) >> 23u;
  let m = bitcast<f32>(bitcast<i32>(x) - (e << 23u));
  let s = (m - 1.0) / (m + 1.0);
  let q = s * s;
  let series = s * (2.0 + q * (2.0 / 3.0 + q * (0.4 + q * (2.0 / 7.0 + q * (2.0 / 9.0)))));
  return f32(e) * LN_2 + series;
}

// Two independent standard normal numbers (Box and Muller 1958). u1 = ((a >> 9) + 1/2) * 2^-23 is exact and never 0 or
// 1, so the logarithm is finite and negative, and results are within 5.77 in magnitude; the angle is the upper 24 bits of
// b, starting at minus half a turn.
fn normal2(a: u32, b: u32) -> vec2f {
  let radius = sqrt(-2.0 * natural_log((f32(a >> 9u) + 0.5) * 0x1p-23f));
  return radius * sine_cosine((b & 0xffffff00u) ^ 0x80000000u).yx;
}
