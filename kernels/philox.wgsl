// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011): random words as a pure function of a counter and a key.
// An include: functions only, no bindings, no entry point. The twin of lib/random.ts: the same integers on every
// adapter.

const PHILOX_MULTIPLIER = vec2u(0xd2511f53u, 0xcd9e8d57u);
const PHILOX_KEY_STEP = vec2u(0x9e3779b9u, 0xbb67ae85u);

// High 32 bits of the 64-bit products, from 16-bit halves: no partial sum exceeds 32 bits. WGSL has no 64-bit integer.
fn philox_multiply_high(a: vec2u, b: vec2u) -> vec2u {
  let a_high = a >> vec2u(16u);
  let a_low = a & vec2u(0xffffu);
  let b_high = b >> vec2u(16u);
  let b_low = b & vec2u(0xffffu);
  let middle = a_high * b_low + ((a_low * b_low) >> vec2u(16u));
  let carry = a_low * b_high + (middle & vec2u(0xffffu));
  return a_high * b_high + (middle >> vec2u(16u)) + (carry >> vec2u(16u));
}

fn philox_round(c: vec4u, key: vec2u) -> vec4u {
  let high = philox_multiply_high(PHILOX_MULTIPLIER, c.xz);
  let low = PHILOX_MULTIPLIER * c.xz;
  return vec4u(high.y ^ c.y ^ key.x, low.y, high.x ^ c.w ^ key.y, low.x);
}

// The words of two counters.
struct PhiloxPair {
  a: vec4u,
  b: vec4u,
}

// Four independent uniform words for each of two counters (which draw) and a key (which stream). The rounds of one
// counter wait for each other; with two side by side, a processor that executes out of order has something to do
// meanwhile (llvmpipe: 6.6 ns a counter in place of 9.4). Unrolled: a loop costs more than its body where the compiler
// guards every WGSL loop with a counter.
fn philox4x32_pair(counter_a: vec4u, counter_b: vec4u, key: vec2u) -> PhiloxPair {
  var a = philox_round(counter_a, key);
  var b = philox_round(counter_b, key);
  a = philox_round(a, key + 1u * PHILOX_KEY_STEP);
  b = philox_round(b, key + 1u * PHILOX_KEY_STEP);
  a = philox_round(a, key + 2u * PHILOX_KEY_STEP);
  b = philox_round(b, key + 2u * PHILOX_KEY_STEP);
  a = philox_round(a, key + 3u * PHILOX_KEY_STEP);
  b = philox_round(b, key + 3u * PHILOX_KEY_STEP);
  a = philox_round(a, key + 4u * PHILOX_KEY_STEP);
  b = philox_round(b, key + 4u * PHILOX_KEY_STEP);
  a = philox_round(a, key + 5u * PHILOX_KEY_STEP);
  b = philox_round(b, key + 5u * PHILOX_KEY_STEP);
  a = philox_round(a, key + 6u * PHILOX_KEY_STEP);
  b = philox_round(b, key + 6u * PHILOX_KEY_STEP);
  a = philox_round(a, key + 7u * PHILOX_KEY_STEP);
  b = philox_round(b, key + 7u * PHILOX_KEY_STEP);
  a = philox_round(a, key + 8u * PHILOX_KEY_STEP);
  b = philox_round(b, key + 8u * PHILOX_KEY_STEP);
  a = philox_round(a, key + 9u * PHILOX_KEY_STEP);
  b = philox_round(b, key + 9u * PHILOX_KEY_STEP);
  return PhiloxPair(a, b);
}

// Four independent uniform words for one counter. Compilers drop the half that nobody asks for.
fn philox4x32(counter: vec4u, key: vec2u) -> vec4u {
  return philox4x32_pair(counter, vec4u(0u), key).a;
}

// A uniform number in [0, 1): (x >> 8) * 2^-24, exact.
fn uniform01(x: u32) -> f32 {
  return f32(x >> 8u) * 0x1p-24f;
}

// An integer in [0, n): the high word of x * n.
fn uniform_integer(x: u32, n: u32) -> u32 {
  return philox_multiply_high(vec2u(x, 0u), vec2u(n, 0u)).x;
}
