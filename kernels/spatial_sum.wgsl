// Sum over the positions of an image: the gradient of a per-sample bias, such as the projected time embedding.
//
//   dx[n,first+c] = sum_p dy[n,p,c]
//
// dy [N,P,Cp] NHWC with P = H*W, channels padded to a multiple of 4, as stored; dx [N,1,1,Wp], of which Cp channels are written
// `=`, in float32, since a sum of many in float16 could overflow.
// One invocation per sample and 4 channels sums the positions in order, so the result is deterministic. Accumulates in four
// float32 partial sums (positions modulo 4), which also quarters the rounding error of a long sum.

// include: include/storage.wgsl

struct Params {
  batch: u32,
  spatial: u32,
  quads: u32, // Cp / 4
  first: u32, // first quad in dx
  row: u32,   // Wp / 4
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Stored4>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size(64)
fn sum(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.batch * params.quads) { return; }
  let stride = params.quads;
  let sample = id.x / stride;
  let quad = id.x - sample * stride;
  let first = sample * params.spatial * stride + quad;
  var total0 = vec4f();
  var total1 = vec4f();
  var total2 = vec4f();
  var total3 = vec4f();
  let whole = params.spatial & ~3u;
  for (var p = 0u; p < whole; p += 4u) {
    let at = first + p * stride;
    total0 += vec4f(dy[at]);
    total1 += vec4f(dy[at + stride]);
    total2 += vec4f(dy[at + 2u * stride]);
    total3 += vec4f(dy[at + 3u * stride]);
  }
  for (var p = whole; p < params.spatial; p++) { total0 += vec4f(dy[first + p * stride]); }
  dx[sample * params.row + params.first + quad] = (total0 + total1) + (total2 + total3);
}
