// Inverted dropout (Srivastava et al. 2014): scaled in training, absent in inference.
//
//   m_i = 1 / (1 - p) if u_i >= p, else 0;   p = threshold / 2^16
//   forward    y = m x
//   backward   dx = addend + m dy
//
// x, y, dy, dx, addend: vec4s [count] of tensors of the same shape, as stored; outputs written `=`, in float32 before they
// are stored; zero padding stays zero.
// The mask is never stored: u_i are 16 random bits as a number in [0, 1), from Threefry4x32 at counter
// (call, 16 + layer, step, stream) with the run's seed as key, so backward regenerates the forward mask. Each call's four
// words serve two vec4s: call 512 b + c serves vec4 1024 b + c with the lower halves of its words, and vec4
// 1024 b + 512 + c with the upper halves. A workgroup handles the 1024 vec4s of one b, an invocation two calls, with vec4s
// 256 apart.

// include: include/threefry.wgsl
// include: records/step_state.wgsl
// include: include/storage.wgsl

override has_addend: bool = false;

struct Params {
  count: u32,     // vec4s
  layer: u32,     // index of the dropout layer in the network
  threshold: u32, // p 2^16
  scale: f32,     // 1 / (1 - p)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> x: array<Stored4>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored4>;
@group(0) @binding(4) var<storage, read> dy: array<Stored4>;
@group(0) @binding(5) var<storage, read> addend: array<Stored4>;
@group(0) @binding(6) var<storage, read_write> dx: array<Stored4>;

// First counter word of layer 0; lower ones belong to batch sampling and noise.
const FIRST_COUNTER = 16u;

fn random_words(call: u32) -> vec4u {
  let counter = vec4u(call, FIRST_COUNTER + params.layer, step_state.step, step_state.stream);
  return threefry4x32(counter, vec2u(step_state.seed_lo, step_state.seed_hi));
}

fn lower(words: vec4u) -> vec4u {
  return words & vec4u(0xffffu);
}

fn upper(words: vec4u) -> vec4u {
  return words >> vec4u(16u);
}

fn mask_of(bits: vec4u) -> vec4f {
  return select(vec4f(0.0), vec4f(params.scale), bits >= vec4u(params.threshold));
}

fn forward_at(i: u32, bits: vec4u) {
  if (i < params.count) {
    y[i] = Stored4(mask_of(bits) * vec4f(x[i]));
  }
}

@compute @workgroup_size(256)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = group.y * groups.x + group.x;
  let words_a = random_words(512u * block + lane);
  let words_b = random_words(512u * block + lane + 256u);
  let first = 1024u * block + lane;
  forward_at(first, lower(words_a));
  forward_at(first + 256u, lower(words_b));
  forward_at(first + 512u, upper(words_a));
  forward_at(first + 768u, upper(words_b));
}

fn backward_at(i: u32, bits: vec4u) {
  if (i < params.count) {
    var slope = mask_of(bits) * vec4f(dy[i]);
    if (has_addend) {
      slope += vec4f(addend[i]);
    }
    dx[i] = Stored4(slope);
  }
}

@compute @workgroup_size(256)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = group.y * groups.x + group.x;
  let words_a = random_words(512u * block + lane);
  let words_b = random_words(512u * block + lane + 256u);
  let first = 1024u * block + lane;
  backward_at(first, lower(words_a));
  backward_at(first + 256u, lower(words_b));
  backward_at(first + 512u, upper(words_a));
  backward_at(first + 768u, upper(words_b));
}
