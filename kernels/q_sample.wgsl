// The forward process on a batch of the data set, and what the network is to predict (Ho et al. 2020, equation 4):
//
//   x_0     = byte / 127.5 - 1, mirrored where draws says so
//   x_t     = signal * x_0 + noise * e                             e ~ N(0, I), rows of the schedule at timestep t
//   targets = target_from_x0 * x_0 + target_from_noise * e
//   e       : counter = (index of the vec4 within the sample, 1, step, stream + 256 n), key = seed
//
// images: bytes [chunk_count, H, W, C] of data set images chunk_first, chunk_first + 1, ...; little-endian in words.
// draws [N]; schedule [T]; x_t, targets [N, H, W, Cp] float32, written `=`, padding lanes zero.
// A data set larger than one binding is cut into chunks, one dispatch each; a dispatch writes the samples of its chunk
// and leaves the others. One invocation per vec4 of channels.

// include: step_state.wgsl
// include: training.wgsl
// include: philox.wgsl
// include: sine_cosine.wgsl
// include: normal.wgsl
// include: image_noise.wgsl

struct Params {
  batch: u32,
  height: u32,
  width: u32,
  channels: u32,
  chunk_first: u32,
  chunk_count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> images: array<u32>;
@group(0) @binding(3) var<storage, read> draws: array<Draw>;
@group(0) @binding(4) var<storage, read> schedule: array<ScheduleRow>;
@group(0) @binding(5) var<storage, read_write> x_t: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> targets: array<vec4f>;

// Four bytes from any byte offset: a pixel of three bytes starts anywhere in a word.
fn four_bytes(offset: u32) -> vec4u {
  let shift = 8u * (offset % 4u);
  let low = images[offset / 4u] >> shift;
  if (shift == 0u) {
    return unpack4xU8(low);
  }
  let next = min(offset / 4u + 1u, arrayLength(&images) - 1u);
  return unpack4xU8(low | (images[next] << (32u - shift)));
}

@compute @workgroup_size(64)
fn q_sample(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let blocks = (params.channels + 3u) / 4u;
  let per_sample = params.height * params.width * blocks;
  if (i >= params.batch * per_sample) {
    return;
  }
  let n = i / per_sample;
  let chosen = draws[n];
  // Below chunk_first the difference wraps round to more than any count.
  let image = chosen.image - params.chunk_first;
  if (image >= params.chunk_count) {
    return;
  }
  let within = i % per_sample;
  let first = 4u * (within % blocks);
  let pixel = within / blocks;
  let x = pixel % params.width;
  let source_x = select(x, params.width - 1u - x, chosen.flip == 1u);
  let source = (image * params.height + pixel / params.width) * params.width + source_x;
  let bytes = vec4f(four_bytes(source * params.channels + first));
  let x_0 = keep_channels(bytes / 127.5 - 1.0, first, params.channels);
  let e = image_noise(
    vec4u(within, 1u, step_state.step, step_state.stream + 256u * n),
    vec2u(step_state.seed_lo, step_state.seed_hi),
    first,
    params.channels,
  );
  let row = schedule[chosen.timestep];
  x_t[i] = row.signal * x_0 + row.noise * e;
  targets[i] = row.target_from_x0 * x_0 + row.target_from_noise * e;
}
