// SiLU on its own, where no normalisation comes before it: the time embedding.
//
//   forward    y = silu(x)
//   backward   dx = addend + dy silu'(x)          addend: the gradient so far of x; 0 where has_addend is false
//
// x, y, dy, dx, addend: the same number of vec4, any shape, float32; zero padding stays zero. Outputs written `=`.
// An invocation takes 4 vec4, one workgroup apart.

// include: silu_math.wgsl

override has_addend: bool = false;

struct Params {
  count: u32, // vec4s
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;
@group(0) @binding(4) var<storage, read> addend: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size(256)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    y[i] = silu4(x[i]);
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
    var slope = dy[i] * silu4_derivative(x[i]);
    if (has_addend) {
      slope += addend[i];
    }
    dx[i] = slope;
  }
}
