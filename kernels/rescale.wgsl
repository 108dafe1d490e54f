// Linear function of each value: centring of inputs, residual branches that are divided by a constant, and outputs that are
// divided by their sample's timestep.
//
//   y = addend + factor x / divisor + offset          addend: 0 if has_addend is false; divisor: 1 if has_divisors is false
//
// x, addend, y [rows, Cp], as stored, rows sample by sample; divisors [samples] float32; padding stays zero. Arithmetic in
// float32, y written `=`. The gradient of x is the same function of y's, without offset. Each invocation handles 4 vec4s, 256 apart.

// include: include/keep_channels.wgsl
// include: include/storage.wgsl

override has_addend: bool = false;
override has_divisors: bool = false;

struct Params {
  count: u32, // vec4s
  channels: u32,
  columns: u32, // vec4s of a row
  per_sample: u32, // vec4s of a sample
  factor: f32,
  offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read> addend: array<Stored4>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored4>;
@group(0) @binding(4) var<storage, read> divisors: array<f32>;

@compute @workgroup_size(256)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    var value = params.factor * vec4f(x[i]);
    if (has_divisors) {
      value /= divisors[i / params.per_sample];
    }
    value += params.offset;
    if (has_addend) {
      value += vec4f(addend[i]);
    }
    y[i] = Stored4(keep_channels(value, 4u * (i % params.columns), params.channels));
  }
}
