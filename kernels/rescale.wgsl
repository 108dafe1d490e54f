// Linear function of each value: centring of inputs, and residual branches that are divided by a constant.
//
//   y = addend + factor x + offset          addend: 0 if has_addend is false
//
// x, addend, y [rows, Cp], as stored; padding stays zero. Arithmetic in float32, y written `=`. The gradient of x is the same
// function of y's, without offset. Each invocation handles 4 vec4s, 256 apart.

// include: include/keep_channels.wgsl
// include: include/storage.wgsl

override has_addend: bool = false;

struct Params {
  count: u32, // vec4s
  channels: u32,
  columns: u32, // vec4s of a row
  factor: f32,
  offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read> addend: array<Stored4>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored4>;

@compute @workgroup_size(256)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    var value = params.factor * vec4f(x[i]) + params.offset;
    if (has_addend) {
      value += vec4f(addend[i]);
    }
    y[i] = Stored4(keep_channels(value, 4u * (i % params.columns), params.channels));
  }
}
