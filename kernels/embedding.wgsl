// Embedding lookup by label, for embeddings of classes and of whole timesteps (as torch.nn.Embedding).
//
//   forward    y[n] = table[labels[n]]
//   backward   dtable[r] = sum over n with labels[n] = r of dy[n]
//
// table, dtable [rows, Dp] float32; labels [N] u32, or float32 if float_labels, rounded; y, dy [N, Dp], as stored; outputs
// written `=`, zero padding stays zero. Labels are validated on the CPU; out-of-range labels are clamped to the last row.
// One invocation per vec4 of the output. backward gathers: it scans all labels and accumulates in float32 in batch order,
// so it needs no atomics, and rows without a label become zero.

// include: include/storage.wgsl

override float_labels: bool = false;

struct Params {
  batch: u32,
  rows: u32,
  columns: u32, // vec4s per row: Dp / 4
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<vec4f>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored4>;
@group(0) @binding(4) var<storage, read> dy: array<Stored4>;
@group(0) @binding(5) var<storage, read_write> dtable: array<vec4f>;

fn row_of_sample(n: u32) -> u32 {
  let label = select(labels[n], u32(round(bitcast<f32>(labels[n]))), float_labels);
  return min(label, params.rows - 1u);
}

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
  y[i] = Stored4(table[row_of_sample(n) * params.columns + i - n * params.columns]);
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
  let row = i / params.columns;
  let column = i - row * params.columns;
  var sum = vec4f(0.0);
  for (var n = 0u; n < params.batch; n++) {
    if (row_of_sample(n) == row) {
      sum += vec4f(dy[n * params.columns + column]);
    }
  }
  dtable[i] = sum;
}
