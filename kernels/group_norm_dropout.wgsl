// Group normalisation, activation f and inverted dropout (Srivastava et al. 2014) in training; all equations and layouts are in
// include/group_norm.wgsl.
//
//   y = m f(z);   m_i = 1 / (1 - p) if u_i >= p, else 0;   p = threshold / 2^16
//
// x, y, dy, dx [N, H*W, Cp], as stored; outputs written `=`, sums and products with m in float32. One workgroup per sample
// and block of channels.
// The mask is never stored: u_i are 16 random bits as a number in [0, 1), from Threefry4x32 at counter
// (call, 16 + layer, step, stream) with the run's seed as key, so backward regenerates the forward mask. Each call's four
// words serve two vec4s of y: call 512 b + c serves vec4 1024 b + c with the lower halves of its words, and vec4
// 1024 b + 512 + c with the upper halves. With `paired`, an invocation has both of them.

// include: include/group_norm_forward.wgsl
// include: include/group_norm_backward.wgsl
// include: include/group_norm_whole_x.wgsl
// include: include/group_norm_whole_dx.wgsl
// include: include/step_words.wgsl
// include: records/step_state.wgsl

@group(0) @binding(11) var<storage, read> step_state: StepState;

// In masks_of, j is i + 512, and both have the same call.
override paired: bool = false;

// First counter word of layer 0; lower ones belong to batch sampling and noise.
const FIRST_COUNTER = 16u;

fn words_of(i: u32) -> vec4u {
  let call = ((i >> 10u) << 9u) | (i & 511u);
  return step_words(call, FIRST_COUNTER + params.layer);
}

fn kept(bits: vec4u) -> vec4f {
  return select(vec4f(0.0), vec4f(params.dropout_scale), bits >= vec4u(params.threshold));
}

fn mask_of(i: u32) -> vec4f {
  return kept((words_of(i) >> vec4u((i & 512u) >> 5u)) & vec4u(0xffffu));
}

fn masks_of(i: u32, j: u32) -> Pair {
  if (paired) {
    let words = words_of(i);
    return Pair(kept(words & vec4u(0xffffu)), kept(words >> vec4u(16u)));
  }
  return Pair(mask_of(i), mask_of(j));
}

@compute @workgroup_size(lanes)
fn forward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  normalise(workgroup_id, lane);
}

@compute @workgroup_size(lanes)
fn backward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  differentiate(workgroup_id, lane);
}
