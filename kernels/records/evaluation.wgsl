// Records shared by the kernels of an evaluation. An include: no bindings, no entry point. layouts.ts is generated from the
// structs.

// Row of the network's batch: an image at a noise level.
struct NoisedRow {
  image: u32,             // number of the image, from which its noise follows
  level: u32,             // number of the level, likewise
  seed_lo: u32,           // Threefry key, low word of the evaluation's seed
  seed_hi: u32,           // Threefry key, high word
  signal: f32,            // coefficient of x_0 in x
  noise: f32,             // coefficient of the noise in x
  target_from_x0: f32,    // coefficient of x_0 in the network's target
  target_from_noise: f32, // coefficient of the noise in the target
  x0_from_out: f32,       // coefficient of the network's output in the estimate of x_0
  clip: f32,              // bound on |x_0| in the estimate; the largest float32 for none
  log_ratio: f32,         // logarithm of the largest learned variance over the smallest; 0 where it is not learned
  result: u32,            // index of the row's DenoisingError; UNUSED_ROW for a row without an image
}

// Means of a row over H, W, C.
struct DenoisingError {
  target_error: f32,  // square error of the network's output
  x0_error: f32,      // square error of the clipped estimate of x_0
  bound_error: f32,   // that over the ratio of the variances of p and q
  variance_term: f32, // (ln ratio + 1 / ratio - 1) / 2
}

const UNUSED_ROW = 0xffffffffu;
