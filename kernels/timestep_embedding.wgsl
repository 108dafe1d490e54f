// Sinusoidal embedding of timesteps (Vaswani et al. 2017, section 3.5; Ho et al. 2020).
//
//   f_k = P^(-k / (D/2 - shift)),  k = 0 … D/2 - 1
//   y[n] = [sin(t_n f_0) …, cos(t_n f_0) …], or cosines first; an odd D ends in a zero
//
// timesteps [N] float32, of magnitude below 2^24, or u32 if whole_numbers; y [N, Dp] as stored, written `=`, padding lanes
// zero.
// One invocation per vec4 of y.
//
// Fixed-point angles: an angle of 1000 rad in float32 is off by up to 3e-5, and WGSL does not bound the error of its sine.
// A frequency is stored in turns as a fraction of 2^32, so its product with an integer timestep wraps around exactly,
// in two's complement if that is negative.
// f_k / f_0 is the product of those q^(2^b) whose bit b is set in k; each product rounds by 2^-33 of a turn at most, or
// 1e-6 rad per factor at t = 1000.

// include: include/multiply_high.wgsl
// include: include/embedding_rows.wgsl
// include: include/sine_cosine.wgsl
// include: include/storage.wgsl

override whole_numbers: bool = false;

struct Params {
  batch: u32,
  dim: u32,          // D
  columns: u32,      // vec4s per row of y
  cosine_first: u32, // 1: [cos, sin]
  // q = P^(-1 / (D/2 - shift)) to the powers 1, 2, 4, …, in units of 2^-32, at most 2^32 - 1
  power0: u32,
  power1: u32,
  power2: u32,
  power3: u32,
  power4: u32,
  power5: u32,
  power6: u32,
  power7: u32,
  power8: u32,
  power9: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> timesteps: array<u32>; // of f32, too: a small u32 read as f32 may be flushed to 0
@group(0) @binding(2) var<storage, read_write> y: array<Stored4>;

const RADIAN = 683565276u;   // 2^32 / (2 pi): one radian as a fraction of a turn

// a * b / 2^32, rounded.
fn multiply_fractions(a: u32, b: u32) -> u32 {
  return multiply_high(a, b) + ((a * b) >> 31u);
}

fn times_power(frequency: u32, k: u32, bit: u32, power: u32) -> u32 {
  return select(frequency, multiply_fractions(frequency, power), ((k >> bit) & 1u) == 1u);
}

// Frequency k in turns, as a fraction of 2^32.
fn frequency_of(k: u32) -> u32 {
  var f = times_power(RADIAN, k, 0u, params.power0);
  f = times_power(f, k, 1u, params.power1);
  f = times_power(f, k, 2u, params.power2);
  f = times_power(f, k, 3u, params.power3);
  f = times_power(f, k, 4u, params.power4);
  f = times_power(f, k, 5u, params.power5);
  f = times_power(f, k, 6u, params.power6);
  f = times_power(f, k, 7u, params.power7);
  f = times_power(f, k, 8u, params.power8);
  return times_power(f, k, 9u, params.power9);
}

fn value(n: u32, i: u32) -> f32 {
  let half_dim = params.dim / 2u;
  if (i >= 2u * half_dim) {
    return 0.0;
  }
  let second_half = u32(i >= half_dim);
  let f = frequency_of(i - second_half * half_dim);
  let t = select(bitcast<f32>(timesteps[n]), f32(timesteps[n]), whole_numbers);
  let whole = floor(t);
  let part = t - whole;
  let both = sine_cosine(bitcast<u32>(i32(whole)) * f + u32(part * f32(f)));
  return select(both.x, both.y, second_half != params.cosine_first);
}

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  write_four((group.y * groups.x + group.x) * 64u + lane);
}
