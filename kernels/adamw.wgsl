// Optimizer step (Ho et al. 2020, algorithm 1, line 5): AdamW over all parameters, fused with gradient clipping and the
// moving average of the weights (Loshchilov & Hutter 2019, algorithm 2, in the order of operations of
// torch.optim.AdamW):
//
//   g   = clip_scale * gradient
//   p   = p - lr * weight_decay * p
//   m   = m + (1 - beta1) (g - m)
//   v   = beta2 v + (1 - beta2) g^2
//   p   = p - lr / bias_correction1 * m / (sqrt(v) / sqrt(bias_correction2) + eps)
//   ema = ema_decay * ema + (1 - ema_decay) * p                     (Ho et al. 2020, appendix B)
//
// gradients, parameters, first_moment (m), second_moment (v), ema: flat buffers [blocks] of vec4f; all but gradients are
// updated in place. Arithmetic in float32; one invocation per vec4. If health.non_finite is 1 nothing is written, which
// skips the step. Padding (gradient and parameter 0) stays 0, since eps > 0.

// include: records/step_state.wgsl
// include: records/training.wgsl

struct Params {
  blocks: u32,
  rate1: f32,  // 1 - beta1, rounded once from float64, consistent with the bias correction
  beta2: f32,
  rate2: f32,  // 1 - beta2
  eps: f32,
  weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> health: Health;
@group(0) @binding(3) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> first_moment: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> second_moment: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> ema: array<vec4f>;

@compute @workgroup_size(64)
fn adamw(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.blocks || health.non_finite == 1u) {
    return;
  }
  let g = health.clip_scale * gradients[i];
  let m = first_moment[i] + params.rate1 * (g - first_moment[i]);
  let v = params.beta2 * second_moment[i] + params.rate2 * g * g;
  let denominator = sqrt(v) / sqrt(step_state.bias_correction2) + params.eps;
  let decayed = parameters[i] * (1.0 - step_state.learning_rate * params.weight_decay);
  let p = decayed - step_state.learning_rate / step_state.bias_correction1 * m / denominator;
  first_moment[i] = m;
  second_moment[i] = v;
  parameters[i] = p;
  ema[i] = step_state.ema_decay * ema[i] + (1.0 - step_state.ema_decay) * p;
}
