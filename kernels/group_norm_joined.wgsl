// Group normalisation of a concatenation that is not stored: x is read from its two tensors, and its gradient goes to them. All
// equations and layouts are in include/group_norm.wgsl.
//
//   x[p, c] = x[p, c] for c < A,   x_second[p, c - A] for A <= c < A + B;   dx likewise
//
// y, dy, addend [N, H*W, (A + B)p]; x, dx [N, H*W, A]; x_second, dx_second [N, H*W, Bp], as stored; A is a multiple of 4.
// Outputs written `=`, sums in float32. One workgroup per sample and block of channels.

// include: include/group_norm_forward.wgsl
// include: include/group_norm_backward.wgsl
// include: include/group_norm_unmasked.wgsl
// include: include/group_norm_split_dx.wgsl

@group(0) @binding(13) var<storage, read> x_second: array<Stored4>;

fn x_at(place: Place, _i: u32, pixel: u32) -> vec4f {
  let row = place.sample * params.spatial + pixel;
  if (place.column < params.first_columns) {
    return vec4f(x[row * params.first_columns + place.column]);
  }
  return vec4f(x_second[row * (params.columns - params.first_columns) + place.column - params.first_columns]);
}

fn first_value(place: Place, channel: u32) -> f32 {
  let row = place.sample * params.spatial;
  let column = channel >> 2u;
  if (column < params.first_columns) {
    return f32(x[row * params.first_columns + column][channel & 3u]);
  }
  let second = row * (params.columns - params.first_columns) + column - params.first_columns;
  return f32(x_second[second][channel & 3u]);
}

@compute @workgroup_size(lanes)
fn forward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  normalise(workgroup_id, lane);
}

@compute @workgroup_size(lanes)
fn backward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  differentiate(workgroup_id, lane);
}
