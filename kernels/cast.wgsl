// Working copy of the weights in the storage type, from the float32 master weights (Micikevicius et al. 2018, "Mixed
// precision training", section 3.1: small updates would be lost in float16).
//
//   y = x
//
// x: flat float32 vec4s [count]; y: the same as stored, rounded, written `=`. Each invocation handles 4 vec4s,
// 256 apart.

// include: include/storage.wgsl

struct Params {
  count: u32, // vec4s
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored4>;

@compute @workgroup_size(256)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    y[i] = Stored4(x[i]);
  }
}
