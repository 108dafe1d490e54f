// Uniform random numbers from random words. An include: functions only. Same as lib/random.ts.

// include: include/multiply_high.wgsl

// A uniform number in [0, 1): (x >> 8) * 2^-24, exact.
fn uniform01(x: u32) -> f32 {
  return f32(x >> 8u) * 0x1p-24f;
}

// An integer in [0, n): the high word of x * n.
fn uniform_integer(x: u32, n: u32) -> u32 {
  return multiply_high(x, n);
}
