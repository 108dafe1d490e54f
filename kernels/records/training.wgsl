// Records that the kernels of a training step share. An include: no bindings, no entry point. layouts.ts is generated
// from the structs.

// What draw_batch.wgsl chose for one sample of the batch.
struct Draw {
  image: u32,     // index into the data set
  timestep: u32,  // 0 to T - 1
  flip: u32,      // 1: mirrored left to right
}

// What depends on the timestep alone; one row per timestep.
struct ScheduleRow {
  signal: f32,            // sqrt(alphas_cumprod): the weight of x_0 in x_t
  noise: f32,             // sqrt(1 - alphas_cumprod): the weight of the noise in x_t
  target_from_x0: f32,    // weight of x_0 in what the network is to predict
  target_from_noise: f32, // weight of the noise in it
  weight: f32,            // of this timestep in the loss
}

// What one optimizer step leaves for the CPU, which reads many of them at once.
struct LogRecord {
  loss_sum: f32,      // over the samples of all micro-batches of the step
  count: u32,         // how many samples that was
  gradient_norm: f32, // before clipping
  non_finite: u32,    // 1: loss or gradient was not finite and nothing was updated; HOPELESS: nor will anything be
  loss_scale: f32,    // that the step's gradients were computed with; 0 where there is none (float32)
}

// In float16: so many steps were left out that no scale of the loss will help.
const HOPELESS = 2u;

// What the optimizer needs to know of the gradient as a whole.
struct Health {
  gradient_norm: f32,
  clip_scale: f32,     // the gradient is multiplied by this
  non_finite: u32,     // 1: the optimizer must not write
  first_bad_step: u32, // StepState.step at which non_finite was raised; meaningless while it is 0
}

// What loss_scale.wgsl keeps from step to step where activations are float16.
struct LossScale {
  scale: f32,            // a power of two that the loss is multiplied by before it is differentiated
  good_steps: u32,       // since it was last changed
  skipped_steps: u32,    // in all: not finite, and left out
  hopeless_steps: u32,   // in a row: left out although the scale was the smallest
  bias_correction1: f32, // 1 - beta1^t, t being the steps that were not left out
  bias_correction2: f32, // 1 - beta2^t
}

// Comparisons with NaN and Inf may be folded away by a compiler that assumes finite arithmetic; bits are not.
fn is_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u;
}
