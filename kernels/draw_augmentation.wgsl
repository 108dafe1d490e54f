// Non-leaky augmentation of a training batch (Karras et al. 2022, appendix F.2 and table 6; Karras et al. 2020a): one affine
// map per sample, and the vector that conditions the network on it. With w ~ N(0, 1) and angles u uniform over the circle,
//
//   flip left to right    as draws says
//   flip top to bottom    with probability p / 2
//   scaling               by 2^(0.2 w)                                                       with probability p
//   rotation              by u                                                               with probability p
//   anisotropic scaling   by 2^(0.2 w) along an axis at u (half of the time at 0), and by its inverse across    likewise
//   translation           by w / 8 of width and of height                                    likewise
//
// An image undergoes them in this order, so that its augmented pixel at p, relative to the centre, is that of the image at
//
//   flips(2^(-0.2 w) R(u) R(-u') diag(2^(-0.2 w'), 2^(0.2 w')) R(u') (p - translation))
//
//   vectors[n] = (flip x, flip y, w, cos u - 1, sin u, w' cos u', w' sin u', w_x, w_y), 0 for transformations not applied
//   random words: counters (n, 3 .. 5, step, stream), key = seed
//
// draws [N]; maps [N]; vectors [N, 12] float32, of which 9 are used and 3 are zero; all outputs written `=`. One invocation per
// sample. A transformation that is not applied is exactly the identity.

// include: records/augmentation.wgsl
// include: records/step_state.wgsl
// include: records/training.wgsl
// include: include/normal.wgsl
// include: include/step_words.wgsl
// include: include/uniform.wgsl

struct Params {
  batch: u32,
  probability: f32,
  height: u32,
  width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> draws: array<Draw>;
@group(0) @binding(3) var<storage, read_write> maps: array<SourceMap>;
@group(0) @binding(4) var<storage, read_write> vectors: array<vec4f>;

// Standard deviation of scalings, octaves, and of translations, sizes of the image
const SCALING = 0.2;
const TRANSLATION = 0.125;

fn applied(word: u32) -> bool {
  return uniform01(word) < params.probability;
}

// Sine and cosine of an angle in turns, as a fraction of 2^32, or of 0 where it is not applied.
fn angle(word: u32, rotated: bool) -> vec2f {
  return sine_cosine(select(0u, word, rotated));
}

// Rotation matrix of a sine and a cosine.
fn rotation(sc: vec2f) -> mat2x2f {
  return mat2x2f(sc.y, sc.x, -sc.x, sc.y);
}

@compute @workgroup_size(64)
fn draw(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= params.batch) {
    return;
  }
  let first = step_words(n, 3u);
  let second = step_words(n, 4u);
  let third = step_words(n, 5u);
  let scalings = normal2(third.x, third.y);
  let scaling = select(0.0, scalings.x, applied(first.y));
  let rotated = angle(second.z, applied(first.z));
  let anisotropy = select(0.0, scalings.y, applied(first.w));
  let axis = angle(second.w, applied(first.w) && (second.y & 2u) != 0u);
  let shift = select(vec2f(0.0), normal2(third.z, third.w), applied(second.x));
  let flips = vec2u(draws[n].flip, select(0u, second.y & 1u, applied(first.x)));

  // exp2(0) may be off by some units in the last place.
  let scale = select(exp2(-SCALING * scaling), 1.0, scaling == 0.0);
  let along = select(exp2(-SCALING * anisotropy), 1.0, anisotropy == 0.0);
  let stretched = transpose(rotation(axis)) * mat2x2f(along, 0.0, 0.0, 1.0 / along) * rotation(axis);
  let flipped = vec2f(1.0) - 2.0 * vec2f(flips);
  // Typed, because `deno task test --bounds` cannot infer the type of an expression.
  let linear: mat2x2f = mat2x2f(flipped.x, 0.0, 0.0, flipped.y) * (scale * rotation(rotated)) * stretched;
  let centre = linear * (-TRANSLATION * shift * vec2f(f32(params.width), f32(params.height)));
  // Matrices of WGSL are columns.
  maps[n] = SourceMap(linear[0].x, linear[1].x, centre.x, linear[0].y, linear[1].y, centre.y);
  vectors[3u * n] = vec4f(vec2f(flips), scaling, rotated.y - 1.0);
  vectors[3u * n + 1u] = vec4f(rotated.x, anisotropy * axis.yx, shift.x);
  vectors[3u * n + 2u] = vec4f(shift.y, 0.0, 0.0, 0.0);
}
