// Group normalisation (Wu & He 2018), optionally with SiLU; all equations and layouts are in include/group_norm.wgsl.
//
//   y = gamma xhat + beta, or silu of that;   xhat = (x - mean) / sqrt(var + eps) over H, W and the channels of a group
//
// x, y, dy, dx [N, H*W, Cp], as stored; outputs written `=`, sums in float32. One workgroup per sample and block of channels.

// include: include/group_norm.wgsl

fn mask_of(_i: u32) -> vec4f {
  return vec4f(1.0);
}

fn masks_of(_i: u32, _j: u32) -> Pair {
  return Pair(vec4f(1.0), vec4f(1.0));
}

fn store_dx(_place: Place, i: u32, _pixel: u32, value: vec4f) {
  dx[i] = Stored4(value);
}

@compute @workgroup_size(lanes)
fn forward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  normalise(workgroup_id, lane);
}

@compute @workgroup_size(lanes)
fn backward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  differentiate(workgroup_id, lane);
}
