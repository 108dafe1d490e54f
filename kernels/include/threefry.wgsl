// Threefry4x32 with 13 rounds (Salmon, Moraes, Dror, Shaw, SC 2011): random words as a pure function of a counter and a
// key. An include: functions only, no bindings, no entry point. Same integers as lib/random.ts on every adapter. Threefry
// uses additions, rotations and xors; the paper's Philox needs 64-bit products, which WGSL lacks.

const THREEFRY_PARITY = 0x1bd11bdau;

// Two mix functions of a round in parallel: a + b, and b rotated left and xored with the sum.
fn threefry_mix(a: vec2u, b: vec2u, rotation: vec2u) -> vec4u {
  let sum = a + b;
  return vec4u(sum, ((b << rotation) | (b >> (vec2u(32u) - rotation))) ^ sum);
}

// Four rounds; words 1 and 3 are swapped between rounds. Unrolled, since some compilers guard every WGSL loop with a
// counter that costs more than the body.
fn threefry_four_rounds(x: vec4u, r0: vec2u, r1: vec2u, r2: vec2u, r3: vec2u) -> vec4u {
  var m = threefry_mix(x.xz, x.yw, r0);
  m = threefry_mix(m.xy, m.wz, r1);
  m = threefry_mix(m.xy, m.wz, r2);
  m = threefry_mix(m.xy, m.wz, r3);
  return m.xwyz;
}

fn threefry_rounds_0_to_3(x: vec4u) -> vec4u {
  return threefry_four_rounds(x, vec2u(10u, 26u), vec2u(11u, 21u), vec2u(13u, 27u), vec2u(23u, 5u));
}

fn threefry_rounds_4_to_7(x: vec4u) -> vec4u {
  return threefry_four_rounds(x, vec2u(6u, 20u), vec2u(17u, 11u), vec2u(25u, 10u), vec2u(18u, 20u));
}

// Four independent uniform words for a counter (index of the draw) and a key (seed). Words 2 and 3 of the paper's key are
// zero.
fn threefry4x32(counter: vec4u, key: vec2u) -> vec4u {
  let parity = key.x ^ key.y ^ THREEFRY_PARITY;
  var x = counter + vec4u(key, 0u, 0u);
  x = threefry_rounds_0_to_3(x) + vec4u(key.y, 0u, 0u, parity + 1u);
  x = threefry_rounds_4_to_7(x) + vec4u(0u, 0u, parity, key.x + 2u);
  x = threefry_rounds_0_to_3(x) + vec4u(0u, parity, key.x, key.y + 3u);
  return threefry_mix(x.xz, x.yw, vec2u(6u, 20u)).xzyw;
}
