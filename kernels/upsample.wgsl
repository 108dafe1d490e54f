// Nearest-neighbour upsampling by two, and its gradient.
//
//   forward    y[n, 2h + i, 2w + j, c] = x[n, h, w, c]                       i, j in {0, 1}
//   backward   dx[n, h, w, c] = addend[n, h, w, c] + sum over i, j of dy[n, 2h + i, 2w + j, c]
//
// x, dx, addend [N, H, W, Cp]; y, dy [N, 2H, 2W, Cp]; as stored, outputs written `=`; zero padding stays zero. Sums in
// float32. Each invocation handles 4 vec4s of the small tensor, 256 apart.

// include: include/storage.wgsl

override has_addend: bool = false;

struct Params {
  count: u32,   // vec4s of the small tensor
  width: u32,   // W
  columns: u32, // vec4s per pixel: Cp / 4
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored4>;
@group(0) @binding(3) var<storage, read> dy: array<Stored4>;
@group(0) @binding(4) var<storage, read> addend: array<Stored4>;
@group(0) @binding(5) var<storage, read_write> dx: array<Stored4>;

// Index in the large tensor of the first of the four copies of vec4 i. Images are contiguous, so rows can be counted over
// the whole batch: row r becomes rows 2r and 2r + 1.
fn copy_of(i: u32) -> u32 {
  let pixel = i / params.columns;
  let row = pixel / params.width;
  let column = i - pixel * params.columns;
  let w = pixel - row * params.width;
  return (row * 4u * params.width + 2u * w) * params.columns + column;
}

@compute @workgroup_size(256)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let below = 2u * params.width * params.columns;
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    let value = x[i];
    let k = copy_of(i);
    y[k] = value;
    y[k + params.columns] = value;
    y[k + below] = value;
    y[k + below + params.columns] = value;
  }
}

@compute @workgroup_size(256)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let below = 2u * params.width * params.columns;
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    let k = copy_of(i);
    var slope = (vec4f(dy[k]) + vec4f(dy[k + params.columns])) +
      (vec4f(dy[k + below]) + vec4f(dy[k + below + params.columns]));
    if (has_addend) {
      slope += vec4f(addend[i]);
    }
    dx[i] = Stored4(slope);
  }
}
