// The forward process q(x_t | x_0) on a batch of the data set (Ho et al. 2020, equation 4; algorithm 1, line 4), and what
// the network is to predict:
//
//   x_0     = byte / 127.5 - 1, mirrored where draws says so
//   e       ~ N(0, I)
//   x_t     = signal * x_0 + noise * e                             signal = sqrt(alphas_cumprod_t)
//                                                                  noise  = sqrt(1 - alphas_cumprod_t)
//   targets = target_from_x0 * x_0 + target_from_noise * e
//   e       : counter = (index of the vec4 within the sample, 1, step, stream + 256 n), key = seed
//
// images: bytes [chunk_count, H, W, C] of data set images chunk_first, chunk_first + 1, ...; little-endian in words.
// draws [N]; schedule [T]; x_t [N, H, W, Cp] as stored, targets the same in float32, written `=`, padding lanes zero.
// A data set larger than one binding is cut into chunks, one dispatch each; a dispatch writes the samples of its chunk
// and leaves the others. A workgroup takes 32 x 16 pixels of one sample and one vec4 of their channels, an invocation
// every other row: nothing has to be divided to find them, which software adapters do lane by lane.

// include: records/step_state.wgsl
// include: records/training.wgsl
// include: include/image_noise.wgsl
// include: include/storage.wgsl

// Known when it is compiled, so that noise of lanes past the last channel is not made.
override channels: u32 = 3;

struct Params {
  height: u32,
  width: u32,
  chunk_first: u32,
  chunk_count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> images: array<u32>;
@group(0) @binding(3) var<storage, read> draws: array<Draw>;
@group(0) @binding(4) var<storage, read> schedule: array<ScheduleRow>;
@group(0) @binding(5) var<storage, read_write> x_t: array<Stored4>;
@group(0) @binding(6) var<storage, read_write> targets: array<vec4f>;

// Four bytes from any byte offset: a pixel of three bytes starts anywhere in a word.
fn four_bytes(offset: u32) -> vec4u {
  let shift = 8u * (offset % 4u);
  let low = images[offset / 4u] >> shift;
  let next = images[min(offset / 4u + 1u, arrayLength(&images) - 1u)];
  // Twice, because a shift by 32 is one by 0.
  return unpack4xU8(low | ((next << (31u - shift)) << 1u));
}

// Rows of pixels of a workgroup.
const ROWS = 16u;

@compute @workgroup_size(32, 2)
fn q_sample(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let n = group.z;
  // All that is the same for the workgroup comes before the first branch: llvmpipe loads it once there, and later for
  // each lane.
  let chosen = draws[n];
  let weights = schedule[chosen.timestep];
  let key = vec2u(step_state.seed_lo, step_state.seed_hi);
  let counter = vec4u(0u, 1u, step_state.step, step_state.stream + 256u * n);
  // Below chunk_first the difference wraps round to more than any count.
  let image = chosen.image - params.chunk_first;
  if (image >= params.chunk_count) {
    return;
  }
  let blocks = (channels + 3u) / 4u;
  let block = group.x % blocks;
  // Pixels past an edge are the last one once more.
  let x = min(32u * (group.x / blocks) + lane.x, params.width - 1u);
  let source_x = select(x, params.width - 1u - x, chosen.flip == 1u);
  let end = min(ROWS * (group.y + 1u), params.height);
  var row = ROWS * group.y + lane.y;
  loop {
    let y = min(row, end - 1u);
    let within = (y * params.width + x) * blocks + block;
    let source = ((image * params.height + y) * params.width + source_x) * channels + 4u * block;
    let bytes = vec4f(four_bytes(source));
    // Scaled to [-1, 1] (section 3.3)
    let x_0 = keep_channels(bytes * (2.0 / 255.0) - 1.0, 4u * block, channels);
    let e = image_noise(counter + vec4u(within, 0u, 0u, 0u), key, 4u * block, channels);
    let i = n * params.height * params.width * blocks + within;
    // The network's input (algorithm 1, line 5) and its target
    x_t[i] = Stored4(weights.signal * x_0 + weights.noise * e);
    targets[i] = weights.target_from_x0 * x_0 + weights.target_from_noise * e;
    // Tested at the bottom: after a test at the top fails, llvmpipe runs the body once more for nothing.
    continuing { row += 2u; break if row >= end; }
  }
}
