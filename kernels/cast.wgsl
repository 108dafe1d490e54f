// The weights as products read them, from the float32 ones that the optimizer changes (Micikevicius et al. 2018, "Mixed
// precision training", section 3.1: small updates would be lost in float16).
//
//   y = x
//
// x: vec4 in float32; y: as many, as stored, written `=`. An invocation takes 4 vec4, one workgroup apart.

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
