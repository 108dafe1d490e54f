// Embedding of a short vector per sample: a linear layer without bias.
//
//   forward    y[n] = sum over k of vectors[n, k] table[k]
//   backward   dtable[k] = sum over n of vectors[n, k] dy[n]
//
// table, dtable [K, Dp] float32; vectors [N, Kp] float32; y, dy [N, Dp], as stored; outputs written `=`, zero padding stays
// zero. One invocation per vec4 of the output; sums in float32, in order.

// include: include/storage.wgsl

struct Params {
  batch: u32,
  rows: u32,    // K
  stride: u32,  // floats per vector: Kp
  columns: u32, // vec4s per row of the table: Dp / 4
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<vec4f>;
@group(0) @binding(2) var<storage, read> vectors: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored4>;
@group(0) @binding(4) var<storage, read> dy: array<Stored4>;
@group(0) @binding(5) var<storage, read_write> dtable: array<vec4f>;

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * params.columns) {
    return;
  }
  let n = i / params.columns;
  let column = i - n * params.columns;
  var sum = vec4f(0.0);
  for (var k = 0u; k < params.rows; k++) {
    sum += vectors[n * params.stride + k] * table[k * params.columns + column];
  }
  y[i] = Stored4(sum);
}

@compute @workgroup_size(64)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.rows * params.columns) {
    return;
  }
  let k = i / params.columns;
  let column = i - k * params.columns;
  var sum = vec4f(0.0);
  for (var n = 0u; n < params.batch; n++) {
    sum += vectors[n * params.stride + k] * vec4f(dy[n * params.columns + column]);
  }
  dtable[i] = sum;
}
