// Gradient of average pooling over squares of 2 x 2 pixels, whose forward pass is pool.wgsl.
//
//   dx[n, 2h + i, 2w + j, c] = addend[n, 2h + i, 2w + j, c] + dy[n, h, w, c] / 4       i, j in {0, 1}
//
// dx, addend [N, 2H, 2W, Cp]; dy [N, H, W, Cp]; as stored, outputs written `=`; zero padding stays zero. Sums in
// float32. Each invocation handles 4 vec4s of the small tensor, 256 apart.

// include: include/squares.wgsl
// include: include/storage.wgsl

@group(0) @binding(1) var<storage, read> dy: array<Stored4>;
@group(0) @binding(2) var<storage, read> addend: array<Stored4>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored4>;

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
  let first = first_of(group, groups, lane);
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    let square = square_of(i);
    let slope = 0.25 * vec4f(dy[i]);
    store(square.x, slope);
    store(square.y, slope);
    store(square.z, slope);
    store(square.w, slope);
  }
}
