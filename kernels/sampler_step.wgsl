// One sampler step in every occupied slot, each at its own step of its own trajectory. DDPM and DDIM differ in their
// coefficients only (Ho et al. 2020, algorithm 2, lines 3 and 4; Song et al. 2021, equation 12).
//
//   x_0 = clamp(x0_from_x * x + x0_from_out * out, -clip, clip)
//   x   = next_from_x0 * x_0 + next_from_x * x + next_from_out * out + sigma * z
//   z   : counter = (index of the vec4 within the image, step, 0, 2), key = the image's seed
//
// out [S, H, W, Cp], the slots' outputs after guidance (guidance.wgsl); x [S, H, W, Cp], updated in place; preview
// [S, H, W, Cp] (the estimate of x_0), written `=`; slots [S], with the coefficients of their steps. All in float32. Idle
// slots keep x and preview. Zero padding stays zero. One invocation per vec4 of channels.

// include: records/sampling.wgsl
// include: include/image_noise.wgsl

struct Params {
  slots: u32,
  per_slot: u32, // vec4s per image
  channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<Slot>;
@group(0) @binding(2) var<storage, read> out: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> preview: array<vec4f>;

@compute @workgroup_size(64)
fn sampler_step(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.slots * params.per_slot) {
    return;
  }
  let slot = slots[i / params.per_slot];
  if (slot.rows == 0u) {
    return;
  }
  let index = i % params.per_slot;
  // 1. Estimate of x_0 (Ho et al. 2020, equation 15), clipped
  let x_0 = clamp(slot.x0_from_x * x[i] + slot.x0_from_out * out[i], vec4f(-slot.clip), vec4f(slot.clip));
  // 2. Mean: equation 7 in DDPM, equation 12 of Song et al. 2021 in DDIM
  var next = slot.next_from_x0 * x_0 + slot.next_from_x * x[i] + slot.next_from_out * out[i];
  // 3. Noise, none in the last step
  if (slot.sigma != 0.0) {
    let first = 4u * (index % ((params.channels + 3u) / 4u));
    let key = vec2u(slot.seed_lo, slot.seed_hi);
    next += slot.sigma * image_noise(sampling_counter(index, slot.step), key, first, params.channels);
  }
  preview[i] = x_0;
  x[i] = next;
}
