// Nearest-neighbour upsampling by two, and its gradient.
//
//   forward    y[n, 2h + i, 2w + j, c] = x[n, h, w, c]                       i, j in {0, 1}
//   backward   dx[n, h, w, c] = addend[n, h, w, c] + sum over i, j of dy[n, 2h + i, 2w + j, c]
//
// x, dx, addend [N, H, W, Cp]; y, dy [N, 2H, 2W, Cp]; as stored, outputs written `=`; zero padding stays zero. Sums in
// float32. Each invocation handles 4 vec4s of the small tensor, 256 apart.

// include: include/squares.wgsl
// include: include/storage.wgsl

@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored4>;
@group(0) @binding(3) var<storage, read> dy: array<Stored4>;
@group(0) @binding(4) var<storage, read> addend: array<Stored4>;
@group(0) @binding(5) var<storage, read_write> dx: array<Stored4>;

@compute @workgroup_size(256)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = first_of(group, groups, lane);
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    let value = x[i];
    let square = square_of(i);
    y[square.x] = value;
    y[square.y] = value;
    y[square.z] = value;
    y[square.w] = value;
  }
}

@compute @workgroup_size(256)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = first_of(group, groups, lane);
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    let square = square_of(i);
    var slope = (vec4f(dy[square.x]) + vec4f(dy[square.y])) + (vec4f(dy[square.z]) + vec4f(dy[square.w]));
    if (has_addend) {
      slope += vec4f(addend[i]);
    }
    dx[i] = Stored4(slope);
  }
}
