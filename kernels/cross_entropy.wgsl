// Softmax cross-entropy with label smoothing (Szegedy et al. 2016, section 7) over the real samples of a batch, and its
// gradient, for classes k = 0 .. K - 1:
//
//   p_k  = exp(z_k) / sum_j exp(z_j)                                  z the logits
//   q_k  = (1 - smoothing) [k = label] + smoothing / K
//   l_n  = - sum_k q_k log p_k
//   loss = 1 / count * sum of l_n for n < count                       later samples are padding: loss and gradient 0
//   d loss / d z_k = gradient_scale / count * (p_k - q_k)             times the loss scale in backward_scaled (loss_scale.wgsl)
//
// logits, gradient [N, Kp] as stored, K of the Kp values of a row in use, padding lanes of the gradient zero; labels [N] u32,
// below K; loss_per_sample [N] float32 (l_n). All outputs written `=`. One invocation per sample, arithmetic in float32; the
// largest logit is subtracted before exponentials are taken.

// include: records/step_state.wgsl
// include: records/training.wgsl
// include: include/storage.wgsl

struct Params {
  batch: u32,
  classes: u32,        // K
  quads: u32,          // Kp / 4
  smoothing: f32,
  gradient_scale: f32, // 1 / micro-batches per optimizer step
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> logits: array<Stored4>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read_write> loss_per_sample: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradient: array<Stored4>;
@group(0) @binding(6) var<storage, read> loss_scale: LossScale;

const LOWEST = -3.4e38;

fn classes_of(quad: u32) -> vec4u {
  return 4u * quad + vec4u(0u, 1u, 2u, 3u);
}

// Logits of four classes; LOWEST past the last class.
fn logits_at(n: u32, quad: u32) -> vec4f {
  let used = classes_of(quad) < vec4u(params.classes);
  return select(vec4f(LOWEST), vec4f(logits[n * params.quads + quad]), used);
}

fn largest(n: u32) -> f32 {
  var highest = vec4f(LOWEST);
  for (var quad = 0u; quad < params.quads; quad++) {
    highest = max(highest, logits_at(n, quad));
  }
  return max(max(highest.x, highest.y), max(highest.z, highest.w));
}

// exp(z - highest), 0 past the last class.
fn exponentials(n: u32, quad: u32, highest: f32) -> vec4f {
  // The maximum keeps the exponential of a padding lane, which is discarded, in range.
  let powers = exp(max(logits_at(n, quad) - highest, vec4f(-1e4)));
  return select(vec4f(0.0), powers, classes_of(quad) < vec4u(params.classes));
}

fn sum_of_exponentials(n: u32, highest: f32) -> f32 {
  var sum = vec4f(0.0);
  for (var quad = 0u; quad < params.quads; quad++) {
    sum += exponentials(n, quad, highest);
  }
  return (sum.x + sum.y) + (sum.z + sum.w);
}

// The smoothed label's probabilities q, 0 past the last class.
fn targets_at(n: u32, quad: u32) -> vec4f {
  let classes = classes_of(quad);
  let chosen = select(vec4f(0.0), vec4f(1.0 - params.smoothing), classes == vec4u(labels[n]));
  return select(vec4f(0.0), chosen + params.smoothing / f32(params.classes), classes < vec4u(params.classes));
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= params.batch) {
    return;
  }
  var loss = 0.0;
  if (n < step_state.count) {
    let highest = largest(n);
    let log_sum = log(sum_of_exponentials(n, highest));
    for (var quad = 0u; quad < params.quads; quad++) {
      let targets = targets_at(n, quad);
      // Padding lanes have weight 0 and must stay finite.
      let shifted = select(vec4f(0.0), logits_at(n, quad) - highest, targets > vec4f(0.0));
      loss += dot(targets, log_sum - shifted);
    }
  }
  loss_per_sample[n] = loss;
}

fn write_gradient(n: u32, loss_scale_factor: f32) {
  if (n >= params.batch) {
    return;
  }
  let real = n < step_state.count;
  let highest = largest(n);
  let inverse = 1.0 / sum_of_exponentials(n, highest);
  let factor = loss_scale_factor * params.gradient_scale / f32(step_state.count);
  for (var quad = 0u; quad < params.quads; quad++) {
    let slope = factor * (inverse * exponentials(n, quad, highest) - targets_at(n, quad));
    gradient[n * params.quads + quad] = Stored4(select(vec4f(0.0), slope, vec4<bool>(real)));
  }
}

@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3u) {
  write_gradient(id.x, 1.0);
}

@compute @workgroup_size(64)
fn backward_scaled(@builtin(global_invocation_id) id: vec3u) {
  write_gradient(id.x, loss_scale.scale);
}
