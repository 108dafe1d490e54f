// Bilinear resize of 8-bit RGB images, without antialiasing, and their scaling to floats.
//
//   y[n, i, j, c] = shift + scale * sum over the four pixels around (u, v) of weight * x[n, ., ., c]
//   u             = max(0, (i + centre) H / H' - centre), likewise v; weights are linear in u and v
//
// centre is where a pixel's value lies in it: 0.5, its middle (PyTorch's interpolate with align_corners=False), or 0, its
// corner (TensorFlow 1's resize_bilinear). Past the last row or column, that one is repeated.
// x [N, H, W, 3] bytes, little-endian in words; y [N, H', W', 4] as stored, written `=`, computed in float32; the padding
// lane is zero. Each invocation writes 4 pixels, 256 apart. Forward only.

// include: include/storage.wgsl
// include: include/four_bytes.wgsl

struct Params {
  count: u32, // pixels of y
  in_h: u32, in_w: u32,
  out_h: u32, out_w: u32,
  centre: f32,
  scale: f32,
  shift: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> images: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored4>;

// Coordinates in x of a pixel of y, rows before columns.
fn source_of(place: vec2u) -> vec2f {
  let ratio = vec2f(vec2u(params.in_h, params.in_w)) / vec2f(vec2u(params.out_h, params.out_w));
  return max((vec2f(place) + params.centre) * ratio - params.centre, vec2f());
}

fn pixel(sample: u32, place: vec2u) -> vec3f {
  let at = 3u * ((sample * params.in_h + place.x) * params.in_w + place.y);
  return vec3f(four_bytes(at).xyz);
}

@compute @workgroup_size(256)
fn bilinear(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  let last = vec2u(params.in_h, params.in_w) - 1u;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    let line = i / params.out_w;
    let sample = line / params.out_h;
    let source = source_of(vec2u(line - sample * params.out_h, i - line * params.out_w));
    let near = min(vec2u(source), last);
    let far = min(near + 1u, last);
    let part = source - vec2f(near);
    let above = mix(pixel(sample, near), pixel(sample, vec2u(near.x, far.y)), part.y);
    let below = mix(pixel(sample, vec2u(far.x, near.y)), pixel(sample, far), part.y);
    y[i] = Stored4(vec4f(params.shift + params.scale * mix(above, below, part.x), 0.0));
  }
}
