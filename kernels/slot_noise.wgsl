// Initial noise of an image (Ho et al. 2020, algorithm 2, line 1): x = x_T ~ N(0, initial_noise^2 I) in every occupied slot
// whose step sets it, the first of a trajectory; all other slots keep x. It is part of every step's replay, so images join a
// running batch without a separate dispatch.
//
//   counter = (index of the vec4 within the image, 0xffffffff, 0, 2), key = the image's seed
//
// slots [S]; x [S, H, W, Cp] float32, computed in float32, written `=`, padding lanes zero. One invocation per vec4 of
// channels.

// include: records/sampling.wgsl
// include: include/image_noise.wgsl

struct Params {
  slots: u32,
  per_slot: u32, // vec4s per image
  channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<Slot>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4f>;

@compute @workgroup_size(64)
fn slot_noise(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.slots * params.per_slot) {
    return;
  }
  let slot = slots[i / params.per_slot];
  if (slot.rows == 0u || slot.initial_noise == 0.0) {
    return;
  }
  let index = i % params.per_slot;
  let first = 4u * (index % ((params.channels + 3u) / 4u));
  let key = vec2u(slot.seed_lo, slot.seed_hi);
  x[i] = slot.initial_noise * image_noise(sampling_counter(index, INITIAL_NOISE), key, first, params.channels);
}
