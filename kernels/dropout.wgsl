// Dropout (Srivastava et al. 2014), scaled in training so that inference needs nothing.
//
//   m_i = 1 / (1 - rate) where u_i >= rate, else 0
//   forward    y = m x
//   backward   dx = addend + m dy
//
// x, y, dy, dx, addend: the same number of vec4, any shape, float32, written `=`; zero padding stays zero.
// The mask is never stored: u_i are the four words of Philox4x32-10 at counter (vec4 index, 16 + layer, step, stream)
// under the run's seed, as numbers in [0, 1), so backward draws what forward drew. An invocation takes 4 vec4, one
// workgroup apart.

// include: philox.wgsl
// include: step_state.wgsl

override has_addend: bool = false;

struct Params {
  count: u32, // vec4s
  layer: u32, // tells the dropouts of a network apart
  rate: f32,  // share of zeros, in [0, 1)
  scale: f32, // 1 / (1 - rate)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<storage, read> dy: array<vec4f>;
@group(0) @binding(5) var<storage, read> addend: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> dx: array<vec4f>;

// Counters of layers start here; the ones before belong to the batch and its noise.
const FIRST_COUNTER = 16u;

fn mask_of(i: u32) -> vec4f {
  let words = philox4x32(
    vec4u(i, FIRST_COUNTER + params.layer, step_state.step, step_state.stream),
    vec2u(step_state.seed_lo, step_state.seed_hi),
  );
  let u = vec4f(uniform01(words.x), uniform01(words.y), uniform01(words.z), uniform01(words.w));
  return select(vec4f(0.0), vec4f(params.scale), u >= vec4f(params.rate));
}

@compute @workgroup_size(256)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    y[i] = mask_of(i) * x[i];
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
    var slope = mask_of(i) * dy[i];
    if (has_addend) {
      slope += addend[i];
    }
    dx[i] = slope;
  }
}
