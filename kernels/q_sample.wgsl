// Forward process q(x_t | x_0) on a batch of the data set (Ho et al. 2020, equation 4; algorithm 1, lines 4 and 5), and the
// prediction targets:
//
//   x_0     = byte / 127.5 - 1 (section 3.3), mirrored if draws says so
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

// include: include/q_sample.wgsl

fn bytes_at(chosen: Draw, image: u32, pixel: vec2u, block: u32) -> vec4f {
  let x = select(pixel.x, params.width - 1u - pixel.x, chosen.flip == 1u);
  let source = ((image * params.height + pixel.y) * params.width + x) * channels + 4u * block;
  return vec4f(four_bytes(source));
}

@compute @workgroup_size(32, 2)
fn q_sample(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  noise_images(group, lane);
}
