// Gradient of average pooling over squares of 2 x 2 pixels, whose forward pass is pool.wgsl.
//
//   dx[n, 2h + i, 2w + j, c] = addend[n, 2h + i, 2w + j, c] + dy[n, h, w, c] / 4       i, j in {0, 1}
//
// dx, addend [N, 2H, 2W, Cp]; dy [N, H, W, Cp]; as stored, outputs written `=`; zero padding stays zero. Sums in
// float32. Each invocation handles 4 vec4s of the small tensor, 256 apart.

// include: include/storage.wgsl

override has_addend: bool = false;

struct Params {
  count: u32,   // vec4s of the small tensor
  width: u32,   // W
  columns: u32, // vec4s per pixel: Cp / 4
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Stored4>;
@group(0) @binding(2) var<storage, read> addend: array<Stored4>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored4>;

// Index in the large tensor of the first vec4 of the square of vec4 i. Images are contiguous, so rows can be counted over the
// whole batch: row r is that of rows 2r and 2r + 1.
fn square_of(i: u32) -> u32 {
  let pixel = i / params.columns;
  let row = pixel / params.width;
  let column = i - pixel * params.columns;
  let w = pixel - row * params.width;
  return (row * 4u * params.width + 2u * w) * params.columns + column;
}

fn store(k: u32, slope: vec4f) {
  if (has_addend) {
    dx[k] = Stored4(slope + vec4f(addend[k]));
  } else {
    dx[k] = Stored4(slope);
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
    let k = square_of(i);
    let slope = 0.25 * vec4f(dy[i]);
    store(k, slope);
    store(k + params.columns, slope);
    store(k + below, slope);
    store(k + below + params.columns, slope);
  }
}
