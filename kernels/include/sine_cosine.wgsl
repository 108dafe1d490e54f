// Sine and cosine by polynomials on an eighth of a turn, since WGSL's own may be off by 2^-11, and are unspecified outside
// [-pi, pi]. An include: functions only.

const TAU = 6.283185307179586;

// Sine and cosine of an angle in turns, as a fraction of 2^32. Taylor series within pi/4, with an error below 1e-7.
fn sine_cosine(turns: u32) -> vec2f {
  let quadrant = (turns + 0x20000000u) >> 30u;
  let a = f32(bitcast<i32>(turns - (quadrant << 30u))) * (TAU * 0x1p-32);
  let q = a * a;
  let s = a * (1.0 + q * (-1.0 / 6.0 + q * (1.0 / 120.0 + q * (-1.0 / 5040.0 + q / 362880.0))));
  let c = 1.0 + q * (-0.5 + q * (1.0 / 24.0 + q * (-1.0 / 720.0 + q / 40320.0)));
  let turned = select(vec2f(s, c), vec2f(c, -s), (quadrant & 1u) == 1u);
  return select(turned, -turned, (quadrant & 2u) == 2u);
}
