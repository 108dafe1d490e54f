// Forward process on a batch of the data set: bindings and body of the q_sample kernels, each of which defines bytes_at, the
// values of a pixel of x_0. An include.

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

fn noise_images(group: vec3u, lane: vec3u) {
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
  let end = min(ROWS * (group.y + 1u), params.height);
  var row = ROWS * group.y + lane.y;
  loop {
    let y = min(row, end - 1u);
    let within = (y * params.width + x) * blocks + block;
    let bytes = bytes_at(chosen, image, vec2u(x, y), block);
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
