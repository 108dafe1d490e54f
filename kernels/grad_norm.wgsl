// Global L2 norm of all gradients, the clipping factor (Pascanu et al. 2013), and the NaN/Inf check of loss and gradients.
//
//   norm       = sqrt(sum of g^2)                                   over the flat gradient buffer of all parameters
//   clip_scale = min(1, max_norm / (norm + 1e-6))                   as torch's clip_grad_norm_; 1 if max_norm is 0
//   non_finite = any g, the norm or the step's loss_sum is NaN or Inf. A norm above 1.8e19 overflows float32 when
//                squared and counts as non-finite.
//
// gradients: flat buffer [blocks] of vec4f; partials [invocations]; health and train_log: records. All outputs written `=`.
// partial_sums: invocation k of P sums vec4s k, k + P, k + 2P ... in float32, without barriers. finish: one workgroup; each
// of 256 lanes sums partials in float32, then lane 0 sums the lanes in order. The order is fixed, so results are
// deterministic. With sticky 1 a raised flag stays raised; with 0 it describes this step only.

// include: records/step_state.wgsl
// include: records/training.wgsl

struct Params {
  blocks: u32,
  invocations: u32,
  sticky: u32,
  max_norm: f32,
}

// Sum of squares, and the largest magnitude as bits: without the sign, bits of floats order like their values, with Inf and
// NaN above all numbers. Bits, because a compiler that assumes finite arithmetic need not propagate NaN through the sum.
struct Partial {
  sum: f32,
  largest: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> partials: array<Partial>;
@group(0) @binding(4) var<storage, read_write> health: Health;
@group(0) @binding(5) var<storage, read_write> train_log: array<LogRecord>;

fn magnitude_bits(g: vec4f) -> vec4u {
  return bitcast<vec4u>(g) & vec4u(0x7fffffffu);
}

@compute @workgroup_size(64)
fn partial_sums(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.invocations) {
    return;
  }
  let stride = params.invocations;
  var sum = vec4f(0.0);
  var largest = vec4u(0u);
  var i = id.x;
  for (; i + 3u * stride < params.blocks; i += 4u * stride) {
    let a = gradients[i];
    let b = gradients[i + stride];
    let c = gradients[i + 2u * stride];
    let d = gradients[i + 3u * stride];
    sum += a * a + b * b + (c * c + d * d);
    largest = max(
      max(largest, max(magnitude_bits(a), magnitude_bits(b))),
      max(magnitude_bits(c), magnitude_bits(d)),
    );
  }
  for (; i < params.blocks; i += stride) {
    let a = gradients[i];
    sum += a * a;
    largest = max(largest, magnitude_bits(a));
  }
  partials[id.x] = Partial(
    sum.x + sum.y + (sum.z + sum.w),
    max(max(largest.x, largest.y), max(largest.z, largest.w)),
  );
}

var<workgroup> sums: array<f32, 256>;
var<workgroup> largests: array<u32, 256>;

@compute @workgroup_size(256)
fn finish(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  var largest = 0u;
  for (var i = lane; i < params.invocations; i += 256u) {
    sum += partials[i].sum;
    largest = max(largest, partials[i].largest);
  }
  sums[lane] = sum;
  largests[lane] = largest;
  workgroupBarrier();
  if (lane > 0u) {
    return;
  }
  for (var i = 1u; i < 256u; i++) {
    sum += sums[i];
    largest = max(largest, largests[i]);
  }
  let norm = sqrt(sum);
  let finite = largest < 0x7f800000u && is_finite(norm) && is_finite(train_log[step_state.log_slot].loss_sum);
  train_log[step_state.log_slot].gradient_norm = norm;
  train_log[step_state.log_slot].non_finite = select(1u, 0u, finite);
  let held = params.sticky == 1u && health.non_finite == 1u;
  health.gradient_norm = norm;
  health.clip_scale = select(1.0, min(1.0, params.max_norm / (norm + 1e-6)), params.max_norm > 0.0);
  if (!held) {
    health.non_finite = select(1u, 0u, finite);
    health.first_bad_step = select(step_state.step, 0u, finite);
  }
}
