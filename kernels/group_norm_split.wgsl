// Group normalisation of a concatenation: its gradient goes to the two tensors that were concatenated. All equations and layouts
// are in include/group_norm.wgsl; forward is that of group_norm.wgsl.
//
//   dx[p, c] = gradient[p, c] for c < A,   dx_second[p, c - A] = gradient[p, c] for A <= c < A + B
//
// x, dy, addend [N, H*W, (A + B)p]; dx [N, H*W, A], dx_second [N, H*W, Bp], as stored; A is a multiple of 4. Outputs written
// `=`, sums in float32. One workgroup per sample and block of channels.

// include: include/group_norm.wgsl

fn mask_of(_i: u32) -> vec4f {
  return vec4f(1.0);
}

fn masks_of(_i: u32, _j: u32) -> Pair {
  return Pair(vec4f(1.0), vec4f(1.0));
}

@group(0) @binding(11) var<storage, read_write> dx_second: array<Stored4>;

fn store_dx(place: Place, _i: u32, pixel: u32, value: vec4f) {
  let row = place.sample * params.spatial + pixel;
  if (place.column < params.first_columns) {
    dx[row * params.first_columns + place.column] = Stored4(value);
  } else {
    dx_second[row * (params.columns - params.first_columns) + place.column - params.first_columns] = Stored4(value);
  }
}

@compute @workgroup_size(lanes)
fn backward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  differentiate(workgroup_id, lane);
}
