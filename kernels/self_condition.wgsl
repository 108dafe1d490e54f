// Estimates of x_0 that training gives to a network with self-conditioning (Chen, Zhang & Hinton 2022, algorithm 1), from its
// output without any:
//
//   estimate[n] = clamp(x0_from_x x_t + x0_from_out prediction, -clip, clip)   for one half of the samples, by a random bit
//                 0                                                            for the other
//
// x_t = signal x_0 + noise e and prediction = target_from_x0 x_0 + target_from_noise e, solved for x_0, give its coefficients.
// Random words: counter (n, 6, step, stream), key = seed.
//
// draws [N]; schedule [levels]; x_t [N, H, W, Cp] and prediction [N, H, W, Op], as stored, Op padded from C or, with a learned
// variance, 2 C channels; estimate [N, H, W, Cp] as stored, written `=`, computed in float32, padding lanes zero. One
// invocation per vec4 of channels.

// include: records/step_state.wgsl
// include: records/training.wgsl
// include: include/keep_channels.wgsl
// include: include/storage.wgsl
// include: include/step_words.wgsl

struct Params {
  batch: u32,
  per_image: u32,  // vec4s of x_t per image
  channels: u32,
  out_stride: u32, // Op
  clip: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> draws: array<Draw>;
@group(0) @binding(3) var<storage, read> schedule: array<ScheduleRow>;
@group(0) @binding(4) var<storage, read> x_t: array<Stored4>;
@group(0) @binding(5) var<storage, read> prediction: array<Stored>;
@group(0) @binding(6) var<storage, read_write> estimate: array<Stored4>;

@compute @workgroup_size(64)
fn self_condition(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * params.per_image) {
    return;
  }
  let n = i / params.per_image;
  let words = step_words(n, 6u);
  if ((words.x & 1u) == 0u) {
    estimate[i] = Stored4(vec4f(0.0));
    return;
  }
  let blocks = (params.channels + 3u) / 4u;
  let first = 4u * (i % blocks);
  let at = (i / blocks) * params.out_stride + first;
  var out = vec4f(0.0);
  for (var k = 0u; k < min(4u, params.channels - first); k++) {
    out[k] = f32(prediction[at + k]);
  }
  let row = schedule[draws[n].level];
  let scale = 1.0 / (row.signal * row.target_from_noise - row.noise * row.target_from_x0);
  let x_0 = scale * (row.target_from_noise * vec4f(x_t[i]) - row.noise * out);
  let clipped = clamp(x_0, vec4f(-params.clip), vec4f(params.clip));
  estimate[i] = Stored4(keep_channels(clipped, first, params.channels));
}
