// Activation without a preceding normalisation, as in the time embedding.
//
//   forward    y = f(x)
//   backward   dx = addend + dy f'(x)          addend: gradient of x so far; 0 if has_addend is false
//
// x, y, dy, dx, addend: vec4s [count] of tensors of the same shape, as stored; zero padding stays zero. Arithmetic in
// float32, outputs written `=`. Each invocation handles 4 vec4s, 256 apart.

// include: include/activation.wgsl
// include: include/storage.wgsl

override has_addend: bool = false;

struct Params {
  count: u32, // vec4s
}

@group(0) @binding(0) var<uniform> params: Params;
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
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    y[i] = Stored4(activate4(vec4f(x[i])));
  }
}

@compute @workgroup_size(256)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    var slope = vec4f(dy[i]) * activate4_derivative(vec4f(x[i]));
    if (has_addend) {
      slope += vec4f(addend[i]);
    }
    dx[i] = Stored4(slope);
  }
}
