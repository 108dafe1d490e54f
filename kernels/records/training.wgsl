// Records shared by the kernels of a training step. An include: no bindings, no entry point. layouts.ts is generated from
// the structs.

// Image, noise level and flip of one sample, drawn by draw_batch.wgsl.
struct Draw {
  image: u32, // index into the data set
  level: u32, // row of the schedule
  flip: u32,  // 1: mirrored left to right
}

// One noise level of training; all are equally likely.
struct ScheduleRow {
  timestep: f32,          // the network's time input
  signal: f32,            // coefficient of x_0 in x_t; sqrt(alphas_cumprod) on a schedule of betas
  noise: f32,             // coefficient of the noise in x_t; sqrt(1 - alphas_cumprod) on a schedule of betas
  target_from_x0: f32,    // coefficient of x_0 in the prediction target
  target_from_noise: f32, // coefficient of the noise in the prediction target
  weight: f32,            // loss weight of this level
}

// Loss of a network with a learned variance, at one noise level of training.
struct VarianceRow {
  weight: f32,             // loss weight of the squared error
  mean_scale: f32,         // change of the mean of p(x_{t-1} | x_t) for a unit change of the prediction
  log_variance_min: f32,   // logarithm of the posterior variance, the lower bound of the learned one
  log_variance_range: f32, // up to log beta_t, the upper bound
  x0_from_x: f32,          // x_0 = x0_from_x x_t + x0_from_target target
  x0_from_target: f32,
}

// Log record of one optimizer step; the CPU reads many at once.
struct LogRecord {
  loss_sum: f32,      // sum over the samples of all micro-batches of the step
  count: u32,         // number of samples in the sum
  gradient_norm: f32, // before clipping
  non_finite: u32,    // 1: skipped step, loss or gradient not finite; HOPELESS: so are all later ones
  loss_scale: f32,    // loss scale of the step's gradients; 0 in float32, which has none
}

// In float16: too many consecutive skipped steps, so no loss scale will help.
const HOPELESS = 2u;

// Global gradient statistics for the optimizer.
struct Health {
  gradient_norm: f32,
  clip_scale: f32,     // factor on the gradient
  non_finite: u32,     // 1: skip the optimizer step
  first_bad_step: u32, // StepState.step at which non_finite was raised; meaningless while it is 0
}

// State of dynamic loss scaling with float16 activations; see loss_scale.wgsl.
struct LossScale {
  scale: f32,            // factor on the loss before differentiation, a power of two
  good_steps: u32,       // consecutive good steps since the last skipped step or growth
  skipped_steps: u32,    // total number of skipped steps
  hopeless_steps: u32,   // consecutive steps skipped at the smallest scale
  bias_correction1: f32, // 1 - beta1^t, t being the number of good steps
  bias_correction2: f32, // 1 - beta2^t
}

// Tests bits, because compilers that assume finite arithmetic may fold comparisons with NaN and Inf.
fn is_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u;
}
