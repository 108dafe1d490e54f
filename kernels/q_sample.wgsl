// Forward process q(x_t | x_0) on a batch of the data set (Ho et al. 2020, equation 4; algorithm 1, line 4), and the
// prediction targets:
//
//   x_0     = byte / 127.5 - 1, mirrored if draws says so
//   e       ~ N(0, I)
//   x_t     = signal * x_0 + noise * e                             on a schedule of betas, signal = sqrt(alphas_cumprod_t)
//                                                                  and noise = sqrt(1 - alphas_cumprod_t)
//   targets = target_from_x0 * x_0 + target_from_noise * e
//   e       : counter = (index of the vec4 within the sample, 1, step, stream + 256 n), key = seed
//
// images: bytes [chunk_count, H, W, C] of data set images chunk_first, chunk_first + 1, ...; little-endian in words.
// draws [N]; schedule [levels]; x_t [N, H, W, Cp] as stored, targets the same in float32; both computed in float32 and written
// `=`, padding lanes zero.
// A data set larger than one binding is split into chunks, one dispatch each; a dispatch writes the samples of its chunk
// only. A workgroup handles 32 x 16 pixels of one sample and one vec4 of their channels, an invocation every other row:
// this mapping needs no integer division, which software adapters execute lane by lane.

// include: records/step_state.wgsl
// include: records/training.wgsl
// include: include/image_noise.wgsl
// include: include/four_bytes.wgsl
// include: include/storage.wgsl

// Compile-time constant, so that no noise is generated for lanes past the last channel.
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

// Pixel rows per workgroup.
const ROWS = 16u;

@compute @workgroup_size(32, 2)
fn q_sample(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let n = group.z;
  // Uniform loads come before the first branch: there llvmpipe loads once, after it once per lane.
  let chosen = draws[n];
  let weights = schedule[chosen.level];
  let key = vec2u(step_state.seed_lo, step_state.seed_hi);
  let counter = vec4u(0u, 1u, step_state.step, step_state.stream + 256u * n);
  // Images before the chunk wrap around to more than any count.
  let image = chosen.image - params.chunk_first;
  if (image >= params.chunk_count) {
    return;
  }
  let blocks = (channels + 3u) / 4u;
  let block = group.x % blocks;
  // Pixels past the edge repeat the last one.
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
    // Exit test at the bottom: with one at the top, llvmpipe runs the body once more with all lanes off.
    continuing { row += 2u; break if row >= end; }
  }
}
