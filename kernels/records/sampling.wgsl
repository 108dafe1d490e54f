// Records that the kernels of a sampling step share. An include: no bindings, no entry point. layouts.ts is generated
// from the structs.

// One place in the batch, the image that is being drawn there, and the coefficients of its next step.
struct Slot {
  conditional: u32,   // row of the network's batch that is asked about it; NONE: the slot is idle, its x is left alone
  unconditional: u32, // row asked without its class, for guidance; NONE: no guidance
  step: u32,          // of this image's own trajectory, 0 first
  seed_lo: u32,       // Threefry key, low word of the image's seed
  seed_hi: u32,       // Threefry key, high word
  class_label: u32,
  guidance: f32,      // scale of classifier-free guidance
  timestep: f32,      // what the network is told
  x0_from_x: f32,
  x0_from_out: f32,
  clip: f32,          // bound on |x_0|; the largest float where there is none
  next_from_x0: f32,
  next_from_x: f32,
  next_from_out: f32,
  sigma: f32,         // standard deviation of the noise added
}

// No row of the network's batch, and in `asks` no slot.
const NONE = 0xffffffffu;

// The bit of an entry of `asks` that says: without its class. The others are the slot.
const WITHOUT_CLASS = 0x80000000u;

// The random numbers of an image depend on its own seed and step alone, so it is the same image in any slot and beside
// any neighbours. Stream 2 keeps them apart from training with the same seed.
fn sampling_counter(index: u32, step: u32) -> vec4u {
  return vec4u(index, step, 0u, 2u);
}

// The step word of the noise that a trajectory starts from.
const INITIAL_NOISE = 0xffffffffu;
