// Group normalisation (Wu & He 2018), optionally with an activation f; all equations and layouts are in include/group_norm.wgsl.
//
//   y = gamma xhat + beta, or f of that;   xhat = (x - mean) / sqrt(var + eps) over H, W and the channels of a group
//
// x, y, dy, dx [N, H*W, Cp], as stored; outputs written `=`, sums in float32. One workgroup per sample and block of channels.

// include: include/group_norm_forward.wgsl
// include: include/group_norm_backward.wgsl
// include: include/group_norm_unmasked.wgsl
// include: include/group_norm_whole_x.wgsl
// include: include/group_norm_whole_dx.wgsl

@compute @workgroup_size(lanes)
fn forward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  normalise(workgroup_id, lane);
}

@compute @workgroup_size(lanes)
fn backward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  differentiate(workgroup_id, lane);
}
