// Global average pooling: the mean over the positions of an image (Lin et al. 2014, "Network in network", section 3.2).
//
//   forward    y[n,c] = 1 / P * sum_p x[n,p,c]
//   backward   dx[n,p,c] = addend[n,p,c] + dy[n,c] / P          addend: gradient of x so far; 0 if has_addend is false
//
// x, dx, addend [N,P,Cp] NHWC with P = H*W, channels padded to a multiple of 4; y, dy [N,1,1,Cp]; all as stored, zero padding
// stays zero. Arithmetic in float32, outputs written `=`.
// forward: one invocation per sample and 4 channels sums the positions in order, in four partial sums (positions modulo 4).
// backward: one invocation per vec4 of dx.

// include: include/storage.wgsl

override has_addend: bool = false;

struct Params {
  batch: u32,
  positions: u32,
  quads: u32, // Cp / 4
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored4>;
@group(0) @binding(3) var<storage, read> dy: array<Stored4>;
@group(0) @binding(4) var<storage, read> addend: array<Stored4>;
@group(0) @binding(5) var<storage, read_write> dx: array<Stored4>;

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * params.quads) {
    return;
  }
  let stride = params.quads;
  let sample = i / stride;
  let first = sample * params.positions * stride + (i - sample * stride);
  var total0 = vec4f();
  var total1 = vec4f();
  var total2 = vec4f();
  var total3 = vec4f();
  let whole = params.positions & ~3u;
  for (var p = 0u; p < whole; p += 4u) {
    let at = first + p * stride;
    total0 += vec4f(x[at]);
    total1 += vec4f(x[at + stride]);
    total2 += vec4f(x[at + 2u * stride]);
    total3 += vec4f(x[at + 3u * stride]);
  }
  for (var p = whole; p < params.positions; p++) {
    total0 += vec4f(x[first + p * stride]);
  }
  y[i] = Stored4(((total0 + total1) + (total2 + total3)) / f32(params.positions));
}

@compute @workgroup_size(64)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let per_sample = params.positions * params.quads;
  if (i >= params.batch * per_sample) {
    return;
  }
  var slope = vec4f(dy[i / per_sample * params.quads + i % params.quads]) / f32(params.positions);
  if (has_addend) {
    slope += vec4f(addend[i]);
  }
  dx[i] = Stored4(slope);
}
