// Training loss: L_simple, the weighted mean squared error of the network's prediction (Ho et al. 2020, equation 14;
// algorithm 1, line 5), or Huber's loss in its place, over the real samples of a batch; its gradient, and its log record.
//
//   d    = prediction - targets
//   b(d) = clamp(d, -delta, delta)
//   h(d) = b (2 d - b)                 d^2, or twice Huber's loss (include/huber.wgsl)
//   l_n  = weight(level_n) * mean over H, W, C of h(d)
//   loss = 1 / count * sum of l_n for n < count                     later samples are padding: loss and gradient 0
//   d loss / d prediction = gradient_scale * 2 * weight / (count * H * W * C) * b(d)
//                           times the loss scale in backward_scaled (loss_scale.wgsl)
//
// prediction, gradient [N, H, W, Cp] as stored, targets the same in float32, with zero padding lanes; loss_per_sample
// [N] float32 (l_n); train_log: one record per optimizer step. All outputs written `=`, the record `+=` if
// step_state.accumulate is 1.
// forward: one workgroup per sample, 64 partial sums in float32, added in lane order. backward: one invocation per vec4,
// in float32. record: one invocation, sums in float32 in sample order.

// include: records/step_state.wgsl
// include: records/training.wgsl
// include: include/huber.wgsl
// include: include/sample_sum.wgsl
// include: include/storage.wgsl

struct Params {
  batch: u32,
  blocks: u32,         // vec4s per sample
  elements: u32,       // H * W * C
  gradient_scale: f32, // 1 / micro-batches per optimizer step
  delta: f32,          // end of the square; the largest float32 for the squared error
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> draws: array<Draw>;
@group(0) @binding(3) var<storage, read> schedule: array<ScheduleRow>;
@group(0) @binding(4) var<storage, read> prediction: array<Stored4>;
@group(0) @binding(5) var<storage, read> targets: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> gradient: array<Stored4>;
@group(0) @binding(7) var<storage, read_write> loss_per_sample: array<f32>;
@group(0) @binding(8) var<storage, read_write> train_log: array<LogRecord>;
@group(0) @binding(9) var<storage, read> loss_scale: LossScale;

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = group.x;
  var sum = vec4f(0.0);
  for (var i = lane; i < params.blocks; i += 64u) {
    let difference = vec4f(prediction[n * params.blocks + i]) - targets[n * params.blocks + i];
    let b = bounded(difference);
    sum += b * (2.0 * difference - b);
  }
  let loss = sample_sum(n, lane, sum.x + sum.y + sum.z + sum.w);
  if (lane == 0u) {
    loss_per_sample[n] = loss * (schedule[draws[n].level].weight / f32(params.elements));
  }
}

fn slope_at(i: u32) -> vec4f {
  let n = i / params.blocks;
  var slope = vec4f(0.0);
  if (n < step_state.count) {
    let weight = schedule[draws[n].level].weight;
    let factor = params.gradient_scale * 2.0 * weight / (f32(step_state.count) * f32(params.elements));
    slope = factor * bounded(vec4f(prediction[i]) - targets[i]);
  }
  return slope;
}

@compute @workgroup_size(64)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < params.batch * params.blocks) {
    gradient[i] = Stored4(slope_at(i));
  }
}

@compute @workgroup_size(64)
fn backward_scaled(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < params.batch * params.blocks) {
    gradient[i] = Stored4(loss_scale.scale * slope_at(i));
  }
}

@compute @workgroup_size(1)
fn record() {
  var entry = LogRecord(0.0, 0u, 0.0, 0u, 0.0);
  if (step_state.accumulate == 1u) {
    entry = train_log[step_state.log_slot];
  }
  var sum = 0.0;
  for (var n = 0u; n < min(params.batch, step_state.count); n++) {
    sum += loss_per_sample[n];
  }
  entry.loss_sum += sum;
  entry.count += step_state.count;
  train_log[step_state.log_slot] = entry;
}
