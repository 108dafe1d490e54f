// Softmax over the rows of the attention scores (Vaswani et al. 2017, section 3.2.1).
//
//   y_j = exp(x_j - max x) / sum_k exp(x_k - max x)
//
// x, y [rows, Tp], as stored, T of the Tp values of a row in use; y written `=`, padding lanes zero. Its gradient is part of a
// product, see attention.ts.
// Eight invocations share a row, each handling every eighth vec4; a workgroup of 64 handles eight rows. Each invocation
// finds the maximum of its own values and the sum of exponentials relative to it, in float32; the eight pairs are merged in
// order (Milakov & Gimelshein 2018).

// include: include/storage.wgsl

struct Params {
  rows: u32,
  length: u32,  // T
  columns: u32, // vec4s per row: Tp / 4
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored4>;

const ROW_LANES = 8u;
const LOWEST = -3.4e38;

var<workgroup> maxima: array<f32, 64>;
var<workgroup> totals: array<f32, 64>;

// Row of an invocation; surplus invocations of the last workgroup repeat the last row up to the barrier.
fn row_of(group: vec3u, groups: vec3u, lane: u32) -> u32 {
  return (group.y * groups.x + group.x) * (64u / ROW_LANES) + lane / ROW_LANES;
}

fn in_use(column: u32) -> vec4<bool> {
  return 4u * column + vec4u(0u, 1u, 2u, 3u) < vec4u(params.length);
}

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = row_of(group, groups, lane);
  let base = min(row, params.rows - 1u) * params.columns;
  let first = lane % ROW_LANES;

  var highest = vec4f(LOWEST);
  for (var column = first; column < params.columns; column += ROW_LANES) {
    highest = max(highest, select(vec4f(LOWEST), vec4f(x[base + column]), in_use(column)));
  }
  let own = max(max(highest.x, highest.y), max(highest.z, highest.w));
  var sum = vec4f(0.0);
  for (var column = first; column < params.columns; column += ROW_LANES) {
    // The minimum keeps the exponential of a padding lane finite.
    sum += select(vec4f(0.0), exp(min(vec4f(x[base + column]) - own, vec4f(0.0))), in_use(column));
  }
  maxima[lane] = own;
  totals[lane] = (sum.x + sum.y) + (sum.z + sum.w);
  workgroupBarrier();
  if (row >= params.rows) {
    return;
  }
  let peers = lane - first;
  var maximum = maxima[peers];
  for (var k = 1u; k < ROW_LANES; k++) {
    maximum = max(maximum, maxima[peers + k]);
  }
  var total = 0.0;
  for (var k = 0u; k < ROW_LANES; k++) {
    total += totals[peers + k] * exp(maxima[peers + k] - maximum);
  }
  let inverse = 1.0 / total;
  for (var column = first; column < params.columns; column += ROW_LANES) {
    let share = inverse * exp(min(vec4f(x[base + column]) - maximum, vec4f(0.0)));
    y[base + column] = Stored4(select(vec4f(0.0), share, in_use(column)));
  }
}
