// Records shared by the kernels of a sampling step. An include: no bindings, no entry point. layouts.ts is generated from
// the structs.

// Slot of the sampling batch: its image's state, and the coefficients of its next step.
struct Slot {
  first_row: u32, // first of its rows, which are contiguous
  rows: u32,      // rows of the network's batch; 0: the slot is idle and keeps its x
  guide_first_row: u32, // the same of the guiding network's batch
  guide_rows: u32,      // 0: no autoguidance
  step: u32,      // step of the image's own trajectory, from 0
  seed_lo: u32,   // Threefry key, low word of the image's seed
  seed_hi: u32,   // Threefry key, high word
  timestep: f32,  // input of the network
  initial_noise: f32, // standard deviation of the noise that x is set to before the step; 0: x is kept
  x0_from_x: f32,
  x0_from_out: f32,
  clip: f32,      // bound on |x_0|; the largest float32 for none
  next_from_x0: f32,
  next_from_x: f32,
  next_from_out: f32,
  next_from_h1: f32, // weights of earlier estimates of x_0, the latest first
  next_from_h2: f32,
  sigma: f32,     // standard deviation of the added noise, with a learned variance its lower bound
  log_sigma_range: f32, // logarithm of its upper bound over its lower; 0: the variance is fixed
  rescale: f32,   // rescaling of the guided output, 0 for none
  known_signal: f32, // level of the known image after the step; both 0: nothing is kept
  known_noise: f32,
}

// Row of the network's batch: one evaluation of the network at a slot's x.
struct Row {
  slot: u32,        // NONE: the row is idle
  class_label: u32,
  weight: f32,      // weight of its output in the slot's output
  conditional: f32, // weight of its output in the conditional output, which has no guidance
}

// No slot.
const NONE = 0xffffffffu;

// The random numbers of an image depend on its own seed and step only, so images do not depend on their slot or on the rest
// of the batch. Stream 2 separates them from training with the same seed.
fn sampling_counter(index: u32, step: u32) -> vec4u {
  return vec4u(index, step, 0u, 2u);
}

// The same for the noise of the known image, which is independent of the sampler's in the same step.
fn known_counter(index: u32, step: u32) -> vec4u {
  return vec4u(index, step, 1u, 2u);
}

// Step word of the initial noise.
const INITIAL_NOISE = 0xffffffffu;
