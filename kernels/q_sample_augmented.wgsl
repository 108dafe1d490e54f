// Forward process q(x_t | x_0) of q_sample.wgsl, on augmented images (Karras et al. 2022, appendix F.2):
//
//   x_0[y, x] = sum over i, j of k(v - i) k(u - j) byte[r(i, H), r(j, W)] / 127.5 - 1
//   (u, v)    = source of (x, y) by the sample's map, which includes its flips
//   k         : cubic convolution with a = -1/2 (Keys 1981), 4 x 4 pixels
//   r         : reflection at the first and last pixel, without end
//
// EDM's own code filters by a wavelet to twice the size and back, with bilinear sampling between the two; here the image is
// sampled once. Values may exceed [-1, 1] at edges in either. Maps by whole pixels copy them exactly.
//
// maps [N]; all else as in q_sample.wgsl: x_t and targets [N, H, W, Cp], computed in float32, written `=`, and the same
// workgroups.

// include: include/q_sample.wgsl
// include: records/augmentation.wgsl

@group(0) @binding(7) var<storage, read> maps: array<SourceMap>;

var<private> source: SourceMap;

fn reflected(i: i32, size: u32) -> u32 {
  let period = max(2u * (size - 1u), 1u);
  let distance = u32(abs(i)) % period;
  return min(distance, period - distance);
}

// Weights of the pixels at -1, 0, 1 and 2 for a point at f, 0 to 1.
fn cubic(f: f32) -> vec4f {
  return vec4f(
    ((1.0 - 0.5 * f) * f - 0.5) * f,
    (1.5 * f - 2.5) * f * f + 1.0,
    ((2.0 - 1.5 * f) * f + 0.5) * f,
    (0.5 * f - 0.5) * f * f,
  );
}

fn bytes_at(_chosen: Draw, image: u32, pixel: vec2u, block: u32) -> vec4f {
  let centre = 0.5 * vec2f(f32(params.width) - 1.0, f32(params.height) - 1.0);
  let p = vec2f(pixel) - centre;
  let place = centre + vec2f(
    source.xx * p.x + source.xy * p.y + source.x0,
    source.yx * p.x + source.yy * p.y + source.y0,
  );
  let whole = floor(place);
  let across = cubic(place.x - whole.x);
  let down = cubic(place.y - whole.y);
  let first = vec2i(whole) - 1;
  var sum = vec4f(0.0);
  for (var i = 0; i < 4; i++) {
    let row = (image * params.height + reflected(first.y + i, params.height)) * params.width;
    var line = vec4f(0.0);
    for (var j = 0; j < 4; j++) {
      let offset = (row + reflected(first.x + j, params.width)) * channels + 4u * block;
      line += across[j] * vec4f(four_bytes(offset));
    }
    sum += down[i] * line;
  }
  return sum;
}

@compute @workgroup_size(32, 2)
fn q_sample(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  source = maps[group.z];
  noise_images(group, lane);
}
