// Errors of the network at chosen noise levels, for evaluation: means over H, W, C of squares.
//
//   difference   = prediction - targets
//   estimate     = clamp(x_0 + x0_from_out * difference, -clip, clip)
//   target_error = mean of difference^2
//   x0_error     = mean of (estimate - x_0)^2
//
// The estimate is equation 15 of Ho et al. 2020; in this form nothing cancels at little noise.
//
// rows [N]; prediction [N, H, W, Cp] as stored; targets, x_0 [N, H, W, Cp] float32, from noise_rows.wgsl; estimates the same,
// written `=`; errors: one DenoisingError for each used row, at its `result`, written `=`. One workgroup per row, 64 partial
// sums in float32, added in lane order.

// include: records/evaluation.wgsl
// include: include/storage.wgsl

struct Params {
  per_row: u32,  // vec4s per image
  elements: u32, // H * W * C
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<NoisedRow>;
@group(0) @binding(2) var<storage, read> prediction: array<Stored4>;
@group(0) @binding(3) var<storage, read> targets: array<vec4f>;
@group(0) @binding(4) var<storage, read> x_0: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> estimates: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> errors: array<DenoisingError>;

var<workgroup> sums: array<vec2f, 64>;

@compute @workgroup_size(64)
fn denoising_errors(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = rows[group.x];
  var sum = vec2f(0.0);
  for (var k = lane; k < params.per_row; k += 64u) {
    let i = group.x * params.per_row + k;
    let difference = vec4f(prediction[i]) - targets[i];
    let estimate = clamp(x_0[i] + row.x0_from_out * difference, vec4f(-row.clip), vec4f(row.clip));
    let off = estimate - x_0[i];
    estimates[i] = estimate;
    sum += vec2f(dot(difference, difference), dot(off, off));
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane > 0u || row.result == UNUSED_ROW) {
    return;
  }
  var total = vec2f(0.0);
  for (var k = 0u; k < 64u; k++) {
    total += sums[k];
  }
  total /= f32(params.elements);
  errors[row.result] = DenoisingError(total.x, total.y);
}
