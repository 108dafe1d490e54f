// One sampler step in every occupied slot, each at its own step of its own trajectory. Samplers differ in their
// coefficients only, which lib/diffusion/samplers computes.
//
//   x_0 = clamp(x0_from_x * x + x0_from_out * out, -clip, clip)
//   x   = next_from_x0 * x_0 + next_from_x * x + next_from_out * out + next_from_h1 * h1 + next_from_h2 * h2 + sigma * z
//   h2  = h1, h1 = x_0                                               the estimates of the last two steps
//   z   ~ N(0, I) (Ho et al. 2020, algorithm 2, lines 3 and 4): counter = (index of the vec4 within the image, step, 0, 2), key = the image's seed
//
// With a learned variance (log_sigma_range > 0), out has twice the channels, and the second half, v, scales sigma by
// exp(log_sigma_range * (v + 1) / 2) (Nichol & Dhariwal 2021, equation 15).
//
// Where a slot has a known image k (known_signal or known_noise > 0), x is set back to it by its mask m (Lugmayr et al.
// 2022, algorithm 1, lines 4 to 8), 1 where the image is drawn anew, to the bit, and 0 where it is kept:
//
//   x   = m x + (1 - m) (known_signal * k + known_noise * z')
//   z'  ~ N(0, I): counter = (index of the vec4 within the image, step, 1, 2), the same key
//
// out [S, H, W, Op], the slots' outputs after guidance (guidance.wgsl), Op padded from C or 2 C channels; x, h1 and h2
// [S, H, W, Cp], updated in place; slots [S], with the coefficients of their steps; known [S, H, W, Cp] and mask [S, H, W],
// read only where a slot has a known image. All in float32. Idle slots keep theirs. Zero padding stays zero. History of
// weight 0 is not read: before the second step there is none. One invocation per vec4 of channels.

// include: records/sampling.wgsl
// include: include/image_noise.wgsl

struct Params {
  slots: u32,
  per_slot: u32, // vec4s per image
  channels: u32,
  out_stride: u32, // Op
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<Slot>;
@group(0) @binding(2) var<storage, read> out: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> h1: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> h2: array<vec4f>;
@group(0) @binding(6) var<storage, read> known: array<vec4f>;
@group(0) @binding(7) var<storage, read> mask: array<f32>;

// Four channels of an output from `at` on; those beyond the image's are 0.
fn output(at: u32, first: u32) -> vec4f {
  var four = vec4f();
  for (var lane = 0u; lane < min(4u, params.channels - first); lane++) {
    four[lane] = out[at + lane];
  }
  return four;
}

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
  let blocks = (params.channels + 3u) / 4u;
  let first = 4u * (index % blocks);
  let at = (i / blocks) * params.out_stride + first;
  let guided = output(at, first);
  // 1. Estimate of x_0 (Ho et al. 2020, equation 15), clipped
  let x_0 = clamp(slot.x0_from_x * x[i] + slot.x0_from_out * guided, vec4f(-slot.clip), vec4f(slot.clip));
  // 2. Mean: equation 7 in DDPM, equation 12 of Song et al. 2021 in DDIM
  var next = slot.next_from_x0 * x_0 + slot.next_from_x * x[i] + slot.next_from_out * guided;
  if (slot.next_from_h1 != 0.0) {
    next += slot.next_from_h1 * h1[i];
  }
  if (slot.next_from_h2 != 0.0) {
    next += slot.next_from_h2 * h2[i];
  }
  // 3. Noise, none in the last step
  if (slot.sigma != 0.0) {
    var sigma = vec4f(slot.sigma);
    if (slot.log_sigma_range != 0.0) {
      sigma *= exp(slot.log_sigma_range * (output(at + params.channels, first) + 1.0) / 2.0);
    }
    let key = vec2u(slot.seed_lo, slot.seed_hi);
    next += sigma * image_noise(sampling_counter(index, slot.step), key, first, params.channels);
  }
  // 4. What is kept of a known image
  if (slot.known_signal != 0.0 || slot.known_noise != 0.0) {
    let anew = mask[i / blocks];
    if (anew != 1.0) {
      let key = vec2u(slot.seed_lo, slot.seed_hi);
      let noise = image_noise(known_counter(index, slot.step), key, first, params.channels);
      next = anew * next + (1.0 - anew) * (slot.known_signal * known[i] + slot.known_noise * noise);
    }
  }
  h2[i] = h1[i];
  h1[i] = x_0;
  x[i] = next;
}
