// Group normalisation (Wu & He 2018), fused with the SiLU and dropout that follow it in residual blocks. An include: equations,
// layouts, thread mapping, and sums over groups. group_norm_forward.wgsl and group_norm_backward.wgsl have the passes. Kernels
// have the entry points, and differ by five functions:
//
//   fn x_at(place: Place, i: u32, pixel: u32) -> vec4f            loads vec4 i of x, which is of that pixel
//   fn first_value(place: Place, channel: u32) -> f32             x at the sample's first pixel
//   fn store_dx(place: Place, i: u32, pixel: u32, value: vec4f)   adds the gradient so far, and stores vec4 i of dx
//   fn mask_of(i: u32) -> vec4f                                   dropout's factor m for vec4 i of a tensor
//   fn masks_of(i: u32, j: u32) -> Pair                           those of two
//
//   xhat = (x - mean) rstd,   z = gamma xhat + beta,   y = m f(z)      f: the activation or none
//   mean, var over H, W and the channels of a group;  rstd = 1 / sqrt(var + eps)
//
//   dz = m dy f'(z)
//   dx = addend + addend_second + gamma rstd dz - m1 - xhat m2
//   m1 = mean(gamma rstd dz),  m2 = mean(gamma rstd dz xhat) over a group
//   dgamma = sum(dz xhat),  dbeta = sum(dz)  over N, H, W
//
// x, y, dy, dx, addend [N, H*W, Cp]; gamma, beta [Cp], or [N, 2, Cp]: each sample's beta, then its gamma
// (scale_shift.wgsl), bound as both; stats [N, 4, Cp], per sample and channel: mean, rstd, gamma rstd, beta,
// so that backward binds one tensor, not three; sums [N, 2, Cp], per sample: sum(dz), sum(dz xhat), whose sums over N are
// dbeta and dgamma (sample_sums.wgsl). The first five as stored, the rest float32; outputs written `=`, padding lanes zero.
// All sums accumulate in float32.
//
// Thread mapping: one workgroup per sample and block of channels, which consists of whole groups and whole vec4s. An
// invocation handles one vec4 of channels (its column) and a subset of the pixels (its row of the workgroup), so
// per-channel values are loaded once. Sums are reduced in registers, then over rows in order, then over the channels of a
// group: any group size works, and padding lanes are excluded. The second pass over x hits the cache. With `runs`, for
// software adapters, a row handles consecutive pixels: there rows run one after the other, and strided pixels would each
// touch another page. The reduction loops are unrolled by two pixels, because each iteration also blends every sum with the
// lane mask there (llvmpipe: 8 % of backward). GPUs take these loops for large images only; see group_norm_held.ts.
//
// The variance is stable for means far from zero: each of the three stages sums differences from its own first value and
// merges moments (Chan, Golub, LeVeque 1983); a mean is kept as that value plus a small difference until the end.
// Padding lanes use the last group's statistics: in forward their gamma and beta are zero, in backward their rstd is zero.

// include: include/activation.wgsl
// include: include/storage.wgsl

// Value of an override that leaves the choice to the parameter of the same name, so that a software adapter has one pipeline to
// compile for all.
const ANY = 3u;
// 1 if the activation follows, 0 if not.
override activated: u32 = ANY;
override runs: bool = false;
override lanes: u32 = 256;

struct Params {
  spatial: u32,    // H * W
  channels: u32,   // C, without padding
  columns: u32,    // vec4s per pixel: Cp / 4
  block: u32,      // columns per workgroup
  rows: u32,       // rows per workgroup; rows * block is at most `lanes`
  group_size: u32, // channels per group
  eps: f32,
  first_columns: u32, // vec4s per pixel in the first of two tensors that x concatenates
  layer: u32,         // index of the dropout layer in the network
  threshold: u32,     // dropout's rate, 2^-16
  dropout_scale: f32, // 1 / (1 - rate)
  addends: u32,       // of a whole dx
  affine_stride: u32, // vec4s from a sample's gamma and beta to the next one's; 0: all samples have the same
  gamma_first: u32,   // vec4s before the first sample's gamma
  activated: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read> gamma: array<vec4f>;
@group(0) @binding(3) var<storage, read> beta: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<Stored4>;
@group(0) @binding(5) var<storage, read_write> stats: array<vec4f>;
@group(0) @binding(6) var<storage, read> saved_stats: array<vec4f>;
@group(0) @binding(7) var<storage, read> dy: array<Stored4>;
@group(0) @binding(9) var<storage, read_write> dx: array<Stored4>;
@group(0) @binding(10) var<storage, read_write> sums: array<vec4f>;

// Quantities per invocation, indexed by its lane; after the reduction over rows, per column of the block.
var<workgroup> part_a: array<vec4f, lanes>;
var<workgroup> part_b: array<vec4f, lanes>;
var<workgroup> part_origin: array<vec4f, lanes>;

fn is_activated() -> bool {
  return select(activated, params.activated, activated == ANY) != 0u;
}

// Index of a column of beta, and, from gamma_first on, of gamma.
fn affine_of(place: Place) -> u32 {
  return place.sample * params.affine_stride + place.column;
}

// Work assignment of an invocation.
struct Place {
  sample: u32,
  row: u32,
  base: u32,       // vec4 of its column at the sample's first pixel
  first: u32,      // its first pixel's vec4
  end: u32,        // one past its last pixel's vec4
  step: u32,       // stride between its pixels, in vec4s
  pixel: u32,      // its first pixel
  pixel_step: u32, // stride between its pixels
  column: u32,     // its column within a pixel
  group: vec4u,    // group of each of its four channels
  start: vec4u,    // first channel of that group, counted from the block's first channel
  mask: vec4f,     // 0 in padding lanes
  in_range: bool,  // false: idle, and takes part in barriers only
}

// Pixels per row; the first row has the most.
fn pixels_of(row: u32) -> u32 {
  if (runs) {
    let most = (params.spatial + params.rows - 1u) / params.rows;
    return min(most, params.spatial - min(params.spatial, row * most));
  }
  return (params.spatial + params.rows - 1u - row) / params.rows;
}

fn place_of(workgroup_id: vec3u, lane: u32) -> Place {
  let first_column = workgroup_id.x * params.block;
  let row = lane / params.block;
  let column = first_column + lane - row * params.block;
  let in_range = row < params.rows && column < params.columns;
  let pixel = select(row, row * pixels_of(0u), runs);
  let base = workgroup_id.y * params.spatial * params.columns + column;
  let first = base + pixel * params.columns;
  let pixel_step = select(params.rows, 1u, runs);
  let step = pixel_step * params.columns;
  let count = select(0u, pixels_of(min(row, params.rows - 1u)), in_range);
  let channel = 4u * column + vec4u(0u, 1u, 2u, 3u);
  let last = vec4u(params.channels - 1u);
  let group = min(channel, last) / params.group_size;
  return Place(
    workgroup_id.y,
    row,
    base,
    first,
    first + count * step,
    step,
    pixel,
    pixel_step,
    column,
    group,
    group * params.group_size - 4u * first_column,
    select(vec4f(0.0), vec4f(1.0), channel <= last),
    in_range,
  );
}

fn channels_a(index: vec4u) -> vec4f {
  return vec4f(
    part_a[index.x >> 2u][index.x & 3u],
    part_a[index.y >> 2u][index.y & 3u],
    part_a[index.z >> 2u][index.z & 3u],
    part_a[index.w >> 2u][index.w & 3u],
  );
}

fn channels_b(index: vec4u) -> vec4f {
  return vec4f(
    part_b[index.x >> 2u][index.x & 3u],
    part_b[index.y >> 2u][index.y & 3u],
    part_b[index.z >> 2u][index.z & 3u],
    part_b[index.w >> 2u][index.w & 3u],
  );
}

fn sum4(v: vec4f) -> vec4f {
  return vec4f((v.x + v.y) + (v.z + v.w));
}

// Two values of four channels.
struct Pair {
  a: vec4f,
  b: vec4f,
}

// Sum of part_a over the channels of a group.
fn group_sum_a(start: vec4u) -> vec4f {
  var sum = vec4f(0.0);
  if (params.group_size % 4u == 0u) {
    let first = start.x >> 2u;
    for (var i = first; i < first + (params.group_size >> 2u); i++) {
      sum += part_a[i];
    }
    return sum4(sum);
  }
  for (var i = 0u; i < params.group_size; i++) {
    sum += channels_a(start + i);
  }
  return sum;
}

fn group_sum_b(start: vec4u) -> vec4f {
  var sum = vec4f(0.0);
  if (params.group_size % 4u == 0u) {
    let first = start.x >> 2u;
    for (var i = first; i < first + (params.group_size >> 2u); i++) {
      sum += part_b[i];
    }
    return sum4(sum);
  }
  for (var i = 0u; i < params.group_size; i++) {
    sum += channels_b(start + i);
  }
  return sum;
}
