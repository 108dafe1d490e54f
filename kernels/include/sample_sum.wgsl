// Sum over one sample of a batch, which is a workgroup of 64 invocations. An include: a function over the kernel's buffer
// `step_state`.

var<workgroup> partial_sums: array<f32, 64>;

// Adds up the invocations' sums in lane order. Only invocation 0 has the result, which is 0 for padding samples.
fn sample_sum(n: u32, lane: u32, partial: f32) -> f32 {
  partial_sums[lane] = partial;
  workgroupBarrier();
  var sum = 0.0;
  if (lane == 0u && n < step_state.count) {
    for (var i = 0u; i < 64u; i++) {
      sum += partial_sums[i];
    }
  }
  return sum;
}
