// Elementwise sum: residual connections (He et al. 2016), time embedding plus class embedding.
//
//   y = a + b
//
// a, b, y: vec4s [count] of tensors of the same shape, as stored; zero padding stays zero. Added in float32, y written `=`.
// The gradient of each input is that of y, so there is no backward kernel.
// Each invocation handles 4 vec4s, 256 apart.

// include: include/storage.wgsl

struct Params {
  count: u32, // vec4s
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored4>;
@group(0) @binding(2) var<storage, read> b: array<Stored4>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored4>;

@compute @workgroup_size(256)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    y[i] = Stored4(vec4f(a[i]) + vec4f(b[i]));
  }
}
