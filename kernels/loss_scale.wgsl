// Dynamic loss scaling for mixed precision (Micikevicius et al. 2018, section 3.2); runs after the gradient norm and before
// the optimizer:
//
//   a good step:     norm = norm / scale,  clip_scale = min(1, max_norm / (norm + 1e-6)) / scale;  after `growth_interval`
//                    of them in a row scale = min(2 scale, LARGEST)
//   skipped step:    not finite, nothing is updated; scale = max(scale / 2, SMALLEST)
//
// clip_scale also unscales the gradients, exactly, since the scale is a power of two. Adam's bias correction counts good
// steps only: after t of them it is c = 1 - beta^t, updated as beta c + (1 - beta). A run is hopeless after
// `hopeless_limit` consecutive steps (0: never) skipped at the smallest scale; from then on nothing is updated.
//
// Records only: step_state, health, train_log [log slots], loss_scale; all updated in place, in float32, by one invocation.
// health comes from grad_norm.wgsl with sticky 0 and describes the scaled gradients; step_state receives the bias
// corrections.

// include: records/step_state.wgsl
// include: records/training.wgsl

struct Params {
  max_norm: f32, // 0 clips nothing
  beta1: f32,
  rate1: f32,    // 1 - beta1, rounded once from float64
  beta2: f32,
  rate2: f32,    // 1 - beta2
  growth_interval: u32,
  hopeless_limit: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> step_state: StepState;
@group(0) @binding(2) var<storage, read_write> health: Health;
@group(0) @binding(3) var<storage, read_write> train_log: array<LogRecord>;
@group(0) @binding(4) var<storage, read_write> loss_scale: LossScale;

const SMALLEST = 1.0;
const LARGEST = 16777216.0; // 2^24; 2^16 is usual

fn hopeless() -> bool {
  return params.hopeless_limit > 0u && loss_scale.hopeless_steps >= params.hopeless_limit;
}

@compute @workgroup_size(1)
fn update() {
  let slot = step_state.log_slot;
  let scale = loss_scale.scale;
  train_log[slot].loss_scale = scale;
  if (hopeless()) {
    health.non_finite = 1u;
    train_log[slot].non_finite = HOPELESS;
    return;
  }
  if (health.non_finite == 1u) {
    loss_scale.good_steps = 0u;
    loss_scale.skipped_steps += 1u;
    loss_scale.hopeless_steps = select(0u, loss_scale.hopeless_steps + 1u, scale == SMALLEST);
    loss_scale.scale = max(0.5 * scale, SMALLEST);
    if (hopeless()) {
      train_log[slot].non_finite = HOPELESS;
    }
    return;
  }
  let norm = health.gradient_norm / scale;
  health.gradient_norm = norm;
  health.clip_scale = select(1.0, min(1.0, params.max_norm / (norm + 1e-6)), params.max_norm > 0.0) / scale;
  train_log[slot].gradient_norm = norm;
  loss_scale.bias_correction1 = params.beta1 * loss_scale.bias_correction1 + params.rate1;
  loss_scale.bias_correction2 = params.beta2 * loss_scale.bias_correction2 + params.rate2;
  step_state.bias_correction1 = loss_scale.bias_correction1;
  step_state.bias_correction2 = loss_scale.bias_correction2;
  loss_scale.hopeless_steps = 0u;
  loss_scale.good_steps += 1u;
  if (loss_scale.good_steps == params.growth_interval) {
    loss_scale.good_steps = 0u;
    loss_scale.scale = min(2.0 * scale, LARGEST);
  }
}
