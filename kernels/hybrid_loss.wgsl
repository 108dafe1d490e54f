// Loss of a network that learns the variance of p(x_{t-1} | x_t), too: L_hybrid (Nichol and Dhariwal 2021, equation 16), over
// the real samples of a batch, and its gradient.
//
//   prediction = [mean part (C channels), v (C channels)]
//   log variance = log_variance_min + (v + 1) / 2 * log_variance_range         equation 15: between posterior variance and beta_t
//   d     = mean part - targets
//   L_t-1 = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) of normal distributions, means mean_scale d apart
//   L_0   = -log p(x_0 | x_1), p integrated over the width of a byte, 2/255, and at -1 and 1 to infinity
//                                                                              (Ho et al. 2020, equation 13)
//   l_n   = weight * mean of h(d) + bound_scale * mean of L                    over H, W, C; h as in loss.wgsl
//   loss  = 1 / count * sum of l_n for n < count                               later samples are padding: loss and gradient 0
//
// The mean gets its gradient from h alone, v from L alone (section 3.1). draws, step_state, targets as in loss.wgsl;
// variances [levels]; prediction, gradient [N, H, W, 2 C padded] as stored; x_t [N, H, W, Cp] as stored. All outputs written
// `=`. forward: one workgroup per sample, 64 partial sums in float32, added in lane order. backward: one invocation per pixel,
// in float32; times the loss scale in backward_scaled (loss_scale.wgsl).

// include: records/step_state.wgsl
// include: records/training.wgsl
// include: include/huber.wgsl
// include: include/normal_tail.wgsl
// include: include/sample_sum.wgsl
// include: include/storage.wgsl

struct Params {
  batch: u32,
  pixels: u32,         // H * W
  channels: u32,       // C
  gradient_scale: f32, // 1 / micro-batches per optimizer step
  delta: f32,          // as in loss.wgsl
  bound_scale: f32,    // weight of the variational bound, in nats
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> draws: array<Draw>;
@group(0) @binding(3) var<storage, read> variances: array<VarianceRow>;
@group(0) @binding(4) var<storage, read> prediction: array<Stored>;
@group(0) @binding(5) var<storage, read> targets: array<f32>;
@group(0) @binding(6) var<storage, read> x_t: array<Stored>;
@group(0) @binding(7) var<storage, read_write> gradient: array<Stored>;
@group(0) @binding(8) var<storage, read_write> loss_per_sample: array<f32>;
@group(0) @binding(9) var<storage, read> loss_scale: LossScale;

// Half the width of a byte in units of x_0.
const HALF_WIDTH = 1.0 / 255.0;
// Least probability whose logarithm is taken.
const LEAST = 1e-12;

fn padded(channels: u32) -> u32 {
  return 4u * ((channels + 3u) / 4u);
}

// The bound's term of one channel of one pixel, and its derivative by the logarithm of the variance.
struct Bound {
  value: f32,
  slope: f32,
}

// L_t-1: divergence of two normal distributions; the first has the least variance.
fn divergence(shift: f32, log_variance: f32, row: VarianceRow) -> Bound {
  let ratio = exp(row.log_variance_min - log_variance);
  let spread = shift * shift * exp(-log_variance);
  let value = 0.5 * (log_variance - row.log_variance_min + ratio - 1.0 + spread);
  return Bound(value, 0.5 * (1.0 - ratio - spread));
}

// L_0: likelihood of a byte. By symmetry, the shift of x_0 from the mean is taken as positive, or towards the range's inside
// where x_0 is at the end of the range.
fn byte_likelihood(shift: f32, log_variance: f32, x_0: f32) -> Bound {
  let scale = exp(-0.5 * log_variance);
  let at_end = abs(x_0) > 1.0 - HALF_WIDTH;
  let outward = select(abs(shift), shift * sign(x_0), at_end);
  let low = (outward - HALF_WIDTH) * scale;
  let high = (outward + HALF_WIDTH) * scale;
  var mass = normal_tail(low);
  var slope = 0.5 * normal_density(low) * low;
  if (!at_end) {
    slope -= 0.5 * normal_density(high) * high;
    if (low < 0.0) {
      mass = 1.0 - normal_tail(-low) - normal_tail(high);
    } else {
      mass -= normal_tail(high);
    }
  }
  if (mass < LEAST) {
    return Bound(-log(LEAST), 0.0);
  }
  return Bound(-log(mass), -slope / mass);
}

fn bound_at(n: u32, pixel: u32, c: u32, difference: f32, row: VarianceRow) -> Bound {
  let first = (n * params.pixels + pixel) * padded(2u * params.channels);
  let v = f32(prediction[first + params.channels + c]);
  let log_variance = row.log_variance_min + 0.5 * (v + 1.0) * row.log_variance_range;
  let shift = row.mean_scale * difference;
  if (draws[n].level > 0u) {
    return divergence(shift, log_variance, row);
  }
  let i = (n * params.pixels + pixel) * padded(params.channels) + c;
  let x_0 = row.x0_from_x * f32(x_t[i]) + row.x0_from_target * targets[i];
  return byte_likelihood(-shift, log_variance, x_0);
}

fn difference_at(n: u32, pixel: u32, c: u32) -> f32 {
  let position = n * params.pixels + pixel;
  let mean = f32(prediction[position * padded(2u * params.channels) + c]);
  return mean - targets[position * padded(params.channels) + c];
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = group.x;
  let row = variances[draws[n].level];
  var sum = 0.0;
  for (var pixel = lane; pixel < params.pixels; pixel += 64u) {
    for (var c = 0u; c < params.channels; c++) {
      let difference = difference_at(n, pixel, c);
      let b = bounded(vec4f(difference)).x;
      sum += row.weight * b * (2.0 * difference - b) +
        params.bound_scale * bound_at(n, pixel, c, difference, row).value;
    }
  }
  let loss = sample_sum(n, lane, sum);
  if (lane == 0u) {
    loss_per_sample[n] = loss / f32(params.pixels * params.channels);
  }
}

fn write_gradient(i: u32, scale: f32) {
  let n = i / params.pixels;
  let pixel = i % params.pixels;
  let real = n < step_state.count;
  let row = variances[draws[n].level];
  let factor = scale * params.gradient_scale / (f32(step_state.count) * f32(params.pixels * params.channels));
  let lanes = padded(2u * params.channels);
  for (var lane = 0u; lane < lanes; lane++) {
    var slope = 0.0;
    if (real && lane < params.channels) {
      let difference = difference_at(n, pixel, lane);
      slope = factor * 2.0 * row.weight * bounded(vec4f(difference)).x;
    } else if (real && lane < 2u * params.channels) {
      let c = lane - params.channels;
      let bound = bound_at(n, pixel, c, difference_at(n, pixel, c), row);
      slope = factor * params.bound_scale * bound.slope * 0.5 * row.log_variance_range;
    }
    gradient[i * lanes + lane] = Stored(slope);
  }
}

@compute @workgroup_size(64)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < params.batch * params.pixels) {
    write_gradient(i, 1.0);
  }
}

@compute @workgroup_size(64)
fn backward_scaled(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < params.batch * params.pixels) {
    write_gradient(i, loss_scale.scale);
  }
}
