// Dot products of the heads of two tensors, which the gradient of a softmax over attention scores subtracts from each row
// (Dao et al. 2022, FlashAttention, algorithm 4, line 4).
//
//   dots[n,h,i] = sum_d y[n,i,h,d] dy[n,i,h,d]
//
// y, dy [N,T,Cp] as stored, head h being channels h D to (h + 1) D - 1; dots [N,heads,T] float32, written `=`.
// Eight invocations share a head of a position: each sums every eighth vec4 in float32 (`scalars`: every eighth element, for D
// that is not a multiple of 4), and the eight sums are added in order.

// include: include/storage.wgsl

struct Params {
  positions: u32, // N T
  length: u32,    // T
  heads: u32,
  size: u32,      // D, in vec4s; in elements for `scalars`
  row: u32,       // Cp, likewise
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<Stored4>;
@group(0) @binding(2) var<storage, read> dy: array<Stored4>;
@group(0) @binding(3) var<storage, read> y_scalars: array<Stored>;
@group(0) @binding(4) var<storage, read> dy_scalars: array<Stored>;
@group(0) @binding(5) var<storage, read_write> dots: array<f32>;

const LANES = 8u;

var<workgroup> sums: array<f32, 64>;

// Position and head of an invocation; those past the last repeat the last up to the barrier.
fn place_of(group: vec3u, groups: vec3u, lane: u32) -> vec2u {
  let at = min((group.y * groups.x + group.x) * (64u / LANES) + lane / LANES, params.positions * params.heads - 1u);
  return vec2u(at / params.heads, at % params.heads);
}

fn finish(place: vec2u, lane: u32, own: f32) {
  sums[lane] = own;
  workgroupBarrier();
  if (lane % LANES != 0u) { return; }
  var sum = 0.0;
  for (var i = 0u; i < LANES; i++) { sum += sums[lane + i]; }
  let sample = place.x / params.length;
  dots[(sample * params.heads + place.y) * params.length + place.x - sample * params.length] = sum;
}

@compute @workgroup_size(64)
fn vectors(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = place_of(group, groups, lane);
  let first = place.x * params.row + place.y * params.size;
  var sum = 0.0;
  for (var i = lane % LANES; i < params.size; i += LANES) { sum += dot(vec4f(y[first + i]), vec4f(dy[first + i])); }
  finish(place, lane, sum);
}

@compute @workgroup_size(64)
fn scalars(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = place_of(group, groups, lane);
  let first = place.x * params.row + place.y * params.size;
  var sum = 0.0;
  for (var i = lane % LANES; i < params.size; i += LANES) { sum += f32(y_scalars[first + i]) * f32(dy_scalars[first + i]); }
  finish(place, lane, sum);
}
