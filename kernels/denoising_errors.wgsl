// Errors of the network at chosen noise levels, for evaluation: means over H, W, C.
//
//   difference    = prediction - targets
//   estimate      = clamp(x_0 + x0_from_out * difference, -clip, clip)
//   ln ratio      = (v + 1) / 2 * log_ratio                 v: second half of the prediction's channels, if it has one
//   target_error  = mean of difference^2
//   x0_error      = mean of (estimate - x_0)^2
//   bound_error   = mean of (estimate - x_0)^2 / ratio
//   variance_term = mean of (ln ratio + 1 / ratio - 1) / 2
//
// The estimate is equation 15 of Ho et al. 2020; in this form nothing cancels at little noise. ratio is the variance of
// p(x_{t-1} | x_t) over that of the posterior q(x_{t-1} | x_t, x_0) (Nichol and Dhariwal 2021, equation 15).
//
// rows [N]; prediction [N, H, W, C padded or 2 C padded] as stored; targets, x_0 [N, H, W, Cp] float32, from noise_rows.wgsl;
// estimates, log_ratios the same, written `=` (not their padding); errors: one DenoisingError for each used row, at its
// `result`, written `=`. One workgroup per row, 64 partial sums in float32, added in lane order.

// include: records/evaluation.wgsl
// include: include/storage.wgsl

override learned: bool = false;

struct Params {
  pixels: u32,   // H * W
  channels: u32, // C
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<NoisedRow>;
@group(0) @binding(2) var<storage, read> prediction: array<Stored>;
@group(0) @binding(3) var<storage, read> targets: array<f32>;
@group(0) @binding(4) var<storage, read> x_0: array<f32>;
@group(0) @binding(5) var<storage, read_write> estimates: array<f32>;
@group(0) @binding(6) var<storage, read_write> log_ratios: array<f32>;
@group(0) @binding(7) var<storage, read_write> errors: array<DenoisingError>;

var<workgroup> sums: array<vec4f, 64>;

fn padded(channels: u32) -> u32 {
  return 4u * ((channels + 3u) / 4u);
}

// (l + exp(-l) - 1) / 2; near 0 its series, where the terms cancel.
fn variance_term(l: f32) -> f32 {
  if (abs(l) < 0.1) {
    return l * l * (0.25 - l * (1.0 / 12.0 - l / 48.0));
  }
  return 0.5 * (l + exp(-l) - 1.0);
}

@compute @workgroup_size(64)
fn denoising_errors(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = rows[group.x];
  let outputs = padded(select(params.channels, 2u * params.channels, learned));
  var sum = vec4f(0.0);
  for (var k = lane; k < params.pixels * params.channels; k += 64u) {
    let pixel = group.x * params.pixels + k / params.channels;
    let c = k % params.channels;
    let i = pixel * padded(params.channels) + c;
    let difference = f32(prediction[pixel * outputs + c]) - targets[i];
    let estimate = clamp(x_0[i] + row.x0_from_out * difference, -row.clip, row.clip);
    estimates[i] = estimate;
    let off = (estimate - x_0[i]) * (estimate - x_0[i]);
    var log_ratio = 0.0;
    if (learned) {
      log_ratio = 0.5 * (f32(prediction[pixel * outputs + params.channels + c]) + 1.0) * row.log_ratio;
    }
    log_ratios[i] = log_ratio;
    sum += vec4f(difference * difference, off, off * exp(-log_ratio), variance_term(log_ratio));
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane > 0u || row.result == UNUSED_ROW) {
    return;
  }
  var total = vec4f(0.0);
  for (var k = 0u; k < 64u; k++) {
    total += sums[k];
  }
  total /= f32(params.pixels * params.channels);
  errors[row.result] = DenoisingError(total.x, total.y, total.z, total.w);
}
