// Group normalisation of a concatenation that is stored: its gradient goes to the two tensors that were concatenated. All
// equations and layouts are in include/group_norm.wgsl; forward is that of group_norm.wgsl.
//
//   dx[p, c] = gradient[p, c] for c < A,   dx_second[p, c - A] = gradient[p, c] for A <= c < A + B
//
// x, dy, addend [N, H*W, (A + B)p]; dx [N, H*W, A], dx_second [N, H*W, Bp], as stored; A is a multiple of 4. Outputs written
// `=`, sums in float32. One workgroup per sample and block of channels.

// include: include/group_norm_backward.wgsl
// include: include/group_norm_unmasked.wgsl
// include: include/group_norm_whole_x.wgsl
// include: include/group_norm_split_dx.wgsl

@compute @workgroup_size(lanes)
fn backward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  differentiate(workgroup_id, lane);
}
