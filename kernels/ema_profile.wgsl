// Average of the weights with a power-function profile, after an optimizer step (Karras et al. 2024, section 3.1):
//
//   average = average + rate (p - average)          rate = 1 - beta(t) = 1 - (1 - 1/t)^(gamma + 1)
//
// parameters (p), average: flat buffers [blocks] of vec4f; rates [profiles], computed in float64. average is updated in place, in
// float32; one invocation per vec4. If health.non_finite is 1 nothing is written, as adamw.wgsl skips the step.

// include: records/training.wgsl

struct Params {
  blocks: u32,
  profile: u32,  // index into rates
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> health: Health;
@group(0) @binding(2) var<storage, read> rates: array<f32>;
@group(0) @binding(3) var<storage, read> parameters: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> average: array<vec4f>;

@compute @workgroup_size(64)
fn ema_profile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.blocks || health.non_finite == 1u) {
    return;
  }
  average[i] += rates[params.profile] * (parameters[i] - average[i]);
}
