// Training batch of a classifier: random crops and mirror images (He et al. 2016, section 4.2), as a function of the step
// number. The paper crops images padded with zeros; here they are padded by reflection, which adds no edges.
//
//   w            = Threefry(counter = (n, 2, step, stream), key = seed)          for sample n of the batch
//   image        = order[position + n]                                          for n < count, else order[position]
//   dx, dy       = floor(w.x (2 shift + 1) / 2^32) - shift, and likewise of w.y  uniform in -shift .. shift
//   x[n,i,j,c]   = byte[image, r(i + dy, H), r(m(j) + dx, W), c] / 127.5 - 1
//   m(j)         = W - 1 - j if flipping is enabled and the lowest bit of w.z is 1, else j
//   r(i, size)   = |i|, or 2 (size - 1) - |i| where that is smaller: reflection at the first and last pixel
//   labels[n]    = label of the image
//
// images: bytes [chunk_count, H, W, C] of data set images chunk_first, chunk_first + 1, ...; little-endian in words.
// order [images of the set] u32; image_labels [images of the set] bytes, four per word; x [N, H, W, Cp] as stored, padding
// lanes zero, computed in float32; labels [N] u32; both written `=`. shift must be below H and W.
// A data set larger than one binding is split into chunks, one dispatch each; a dispatch writes the samples of its chunk
// only. A workgroup handles 32 x 16 pixels of one sample and one vec4 of their channels, an invocation every other row.

// include: records/step_state.wgsl
// include: include/storage.wgsl
// include: include/batch_image.wgsl
// include: include/step_words.wgsl
// include: include/uniform.wgsl
// include: include/four_bytes.wgsl

struct Params {
  height: u32,
  width: u32,
  channels: u32,
  chunk_first: u32,
  chunk_count: u32,
  shift: u32,
  flip: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> images: array<u32>;
@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read> image_labels: array<u32>;
@group(0) @binding(5) var<storage, read_write> x: array<Stored4>;
@group(0) @binding(6) var<storage, read_write> labels: array<u32>;

fn reflected(i: i32, size: u32) -> u32 {
  let distance = abs(i);
  return u32(min(distance, 2 * (i32(size) - 1) - distance));
}

// Pixel rows per workgroup.
const ROWS = 16u;

@compute @workgroup_size(32, 2)
fn augment(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let n = group.z;
  let words = step_words(n, 2u);
  let chosen = image_of(n);
  // Images before the chunk wrap around to more than any count.
  let image = chosen - params.chunk_first;
  if (image >= params.chunk_count) {
    return;
  }
  if (all(group.xy == vec2u(0u)) && all(lane.xy == vec2u(0u))) {
    labels[n] = label_in(image_labels[chosen / 4u], chosen);
  }
  let range = 2u * params.shift + 1u;
  let dx = i32(uniform_integer(words.x, range)) - i32(params.shift);
  let dy = i32(uniform_integer(words.y, range)) - i32(params.shift);
  let blocks = (params.channels + 3u) / 4u;
  let block = group.x % blocks;
  let used = 4u * block + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
  // Pixels past the edge repeat the last one.
  let column = min(32u * (group.x / blocks) + lane.x, params.width - 1u);
  let facing = select(column, params.width - 1u - column, (words.z & params.flip) == 1u);
  let source_x = reflected(i32(facing) + dx, params.width);
  let end = min(ROWS * (group.y + 1u), params.height);
  var row = ROWS * group.y + lane.y;
  loop {
    let y = min(row, end - 1u);
    let source_y = reflected(i32(y) + dy, params.height);
    let source = ((image * params.height + source_y) * params.width + source_x) * params.channels + 4u * block;
    let value = vec4f(four_bytes(source)) * (2.0 / 255.0) - 1.0;
    x[((n * params.height + y) * params.width + column) * blocks + block] =
      Stored4(select(vec4f(0.0), value, used));
    // Exit test at the bottom: with one at the top, llvmpipe runs the body once more with all lanes off.
    continuing { row += 2u; break if row >= end; }
  }
}
