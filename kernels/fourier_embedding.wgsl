// Embedding of positive timesteps by fixed random frequencies, as in diffusers' GaussianFourierProjection (Song et al. 2021,
// "Score-Based Generative Modeling", after Tancik et al. 2020).
//
//   y[n] = [sin(2 pi f_0 ln t_n) …, cos(2 pi f_0 ln t_n) …]          f: K frequencies
//
// timesteps [N] float32, above 0; frequencies [Kp] float32; y [N, Dp] as stored, D = 2 K, written `=`, padding lanes zero.
// One invocation per vec4 of y.

// include: include/embedding_rows.wgsl
// include: include/sine_cosine.wgsl
// include: include/storage.wgsl

struct Params {
  batch: u32,
  frequencies: u32,  // K
  columns: u32,      // vec4s per row of y
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> timesteps: array<f32>;
@group(0) @binding(2) var<storage, read> frequencies: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored4>;

// The largest float below 2^32: a fraction of a turn may round to a whole one.
const LAST_TURN = 4294967040.0;

fn value(n: u32, i: u32) -> f32 {
  if (i >= 2u * params.frequencies) {
    return 0.0;
  }
  let is_cosine = i >= params.frequencies;
  let turns = fract(frequencies[i - select(0u, params.frequencies, is_cosine)] * log(timesteps[n]));
  let both = sine_cosine(u32(min(turns * 0x1p32, LAST_TURN)));
  return select(both.x, both.y, is_cosine);
}

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  write_four((group.y * groups.x + group.x) * 64u + lane);
}
