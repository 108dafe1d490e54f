// Group normalisation (Wu & He 2018), fused with the SiLU and dropout that follow it in residual blocks. An include: all of
// it but the entry points and three functions, by which the kernels differ:
//
//   fn mask_of(i: u32) -> vec4f                                   dropout's factor m for vec4 i of a tensor
//   fn masks_of(i: u32, j: u32) -> Pair                           those of two
//   fn store_dx(place: Place, i: u32, pixel: u32, value: vec4f)   stores vec4 i of dx, which is of that pixel
//
//   xhat = (x - mean) rstd,   z = gamma xhat + beta,   y = m z or m silu(z)
//   mean, var over H, W and the channels of a group;  rstd = 1 / sqrt(var + eps)
//
//   dz = m dy or m dy silu'(z)
//   dx = addend + addend_second + gamma rstd dz - m1 - xhat m2
//   m1 = mean(gamma rstd dz),  m2 = mean(gamma rstd dz xhat) over a group
//   dgamma = sum(dz xhat),  dbeta = sum(dz)  over N, H, W
//
// x, y, dy, dx, addend [N, H*W, Cp]; gamma, beta [Cp]; stats [N, 4, Cp], per sample and channel: mean, rstd, gamma rstd, beta,
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

// include: include/silu_math.wgsl
// include: include/storage.wgsl

override use_silu: bool = false;
override has_addend: bool = false;
override has_second_addend: bool = false;
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
  first_columns: u32, // vec4s per pixel in the first part of a split dx
  layer: u32,         // index of the dropout layer in the network
  threshold: u32,     // dropout's rate, 2^-16
  dropout_scale: f32, // 1 / (1 - rate)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read> gamma: array<vec4f>;
@group(0) @binding(3) var<storage, read> beta: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<Stored4>;
@group(0) @binding(5) var<storage, read_write> stats: array<vec4f>;
@group(0) @binding(6) var<storage, read> saved_stats: array<vec4f>;
@group(0) @binding(7) var<storage, read> dy: array<Stored4>;
@group(0) @binding(8) var<storage, read> addend: array<Stored4>;
@group(0) @binding(9) var<storage, read_write> dx: array<Stored4>;
@group(0) @binding(10) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(12) var<storage, read> addend_second: array<Stored4>;

// Quantities per invocation, indexed by its lane; after the reduction over rows, per column of the block.
var<workgroup> part_a: array<vec4f, lanes>;
var<workgroup> part_b: array<vec4f, lanes>;
var<workgroup> part_origin: array<vec4f, lanes>;

// Work assignment of an invocation.
struct Place {
  sample: u32,
  row: u32,
  base: u32,      // vec4 of its column at the sample's first pixel
  first: u32,     // its first pixel's vec4
  end: u32,       // one past its last pixel's vec4
  step: u32,      // stride between its pixels, in vec4s
  pixel: u32,     // its first pixel
  column: u32,    // its column within a pixel
  group: vec4u,   // group of each of its four channels
  start: vec4u,   // first channel of that group, counted from the block's first channel
  mask: vec4f,    // 0 in padding lanes
  in_range: bool, // false: idle, and takes part in barriers only
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
  let step = select(params.rows, 1u, runs) * params.columns;
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

fn channels_origin(index: vec4u) -> vec4f {
  return vec4f(
    part_origin[index.x >> 2u][index.x & 3u],
    part_origin[index.y >> 2u][index.y & 3u],
    part_origin[index.z >> 2u][index.z & 3u],
    part_origin[index.w >> 2u][index.w & 3u],
  );
}

// Mean and M2, the sum of squared differences from the mean, of some values per channel.
struct Moments {
  origin: vec4f, // one of the values
  a: vec4f,      // mean - origin
  b: vec4f,      // M2
}

// Moments of the invocation's own pixels.
fn pixel_moments(place: Place) -> Moments {
  if (place.first == place.end) {
    return Moments(vec4f(0.0), vec4f(0.0), vec4f(0.0));
  }
  let origin = vec4f(x[place.first]);
  var sum = vec4f(0.0);
  var squares = vec4f(0.0);
  var i = place.first;
  for (; i + place.step < place.end; i += 2u * place.step) {
    let a = vec4f(x[i]) - origin;
    let b = vec4f(x[i + place.step]) - origin;
    sum += a + b;
    squares += a * a + b * b;
  }
  if (i < place.end) {
    let a = vec4f(x[i]) - origin;
    sum += a;
    squares += a * a;
  }
  let count = f32((place.end - place.first) / place.step);
  return Moments(origin, sum / count, squares - sum * sum / count);
}

// Merges the moments of one column over the rows.
fn merge_rows(lane: u32, own: Moments) -> Moments {
  let own_count = f32(pixels_of(0u));
  var sum = own_count * own.a;
  var squares = own.b + own_count * own.a * own.a;
  for (var row = 1u; row < params.rows; row++) {
    let i = row * params.block + lane;
    // Rows without pixels contribute nothing.
    let count = f32(pixels_of(row));
    let d = (part_origin[i] - own.origin) + part_a[i];
    sum += count * d;
    squares += part_b[i] + count * d * d;
  }
  let total = f32(params.spatial);
  return Moments(own.origin, sum / total, squares - sum * sum / total);
}

// Mean and variance of the groups of four channels, from the moments per channel.
fn group_moments(start: vec4u) -> Pair {
  let size = f32(params.group_size);
  let per_channel = 1.0 / f32(params.spatial);
  let origin = channels_origin(start);
  var sum = vec4f(0.0);
  var squares = vec4f(0.0);
  if (params.group_size % 4u == 0u) {
    // All four lanes belong to one group.
    let first = start.x >> 2u;
    for (var i = first; i < first + (params.group_size >> 2u); i++) {
      let d = (part_origin[i] - origin) + part_a[i];
      sum += d;
      squares += d * d + per_channel * part_b[i];
    }
    sum = sum4(sum);
    squares = sum4(squares);
  } else {
    for (var i = 0u; i < params.group_size; i++) {
      let d = (channels_origin(start + i) - origin) + channels_a(start + i);
      sum += d;
      squares += d * d + per_channel * channels_b(start + i);
    }
  }
  let shift = sum / size;
  return Pair(origin + shift, max(squares / size - shift * shift, vec4f(0.0)));
}

// Stores what backward needs of a column, in the layout of stats.
fn store_stats(place: Place, mean: vec4f, rstd: vec4f, scale: vec4f, offset: vec4f) {
  let first = 4u * place.sample * params.columns + place.column;
  stats[first] = mean;
  stats[first + params.columns] = rstd * place.mask;
  stats[first + 2u * params.columns] = scale;
  stats[first + 3u * params.columns] = offset;
}

fn store_y(i: u32, z: vec4f, mask: vec4f) {
  if (use_silu) {
    y[i] = Stored4(mask * silu4(z));
  } else {
    y[i] = Stored4(mask * z);
  }
}

fn normalise(workgroup_id: vec3u, lane: u32) {
  let place = place_of(workgroup_id, lane);
  let own = pixel_moments(place);
  part_origin[lane] = own.origin;
  part_a[lane] = own.a;
  part_b[lane] = own.b;
  workgroupBarrier();
  if (lane < params.block) {
    let merged = merge_rows(lane, own);
    part_a[lane] = merged.a;
    part_b[lane] = merged.b;
  }
  workgroupBarrier();
  if (!place.in_range) {
    return;
  }
  let moments = group_moments(place.start);
  let mean = moments.a;
  let rstd = 1.0 / sqrt(moments.b + params.eps);
  let scale = gamma[place.column] * rstd;
  let offset = beta[place.column];
  if (place.row == 0u) {
    store_stats(place, mean, rstd, scale, offset);
  }
  for (var i = place.first; i < place.end; i += place.step) {
    store_y(i, (vec4f(x[i]) - mean) * scale + offset, mask_of(i));
  }
}

// Per-channel values of four channels. Few, since each takes four of a software adapter's sixteen registers.
struct Channels {
  mean: vec4f,
  scale: vec4f, // gamma rstd
  offset: vec4f,
}

fn channels_of(place: Place) -> Channels {
  let first = 4u * place.sample * params.columns + min(place.column, params.columns - 1u);
  return Channels(
    saved_stats[first],
    saved_stats[first + 2u * params.columns],
    saved_stats[first + 3u * params.columns],
  );
}

// 0 in padding lanes.
fn rstd_of(place: Place) -> vec4f {
  let column = min(place.column, params.columns - 1u);
  return saved_stats[(4u * place.sample + 1u) * params.columns + column];
}

struct Point {
  centred: vec4f, // x - mean = xhat / rstd
  dz: vec4f,
}

fn point_at(i: u32, channels: Channels) -> Point {
  let centred = vec4f(x[i]) - channels.mean;
  var dz = mask_of(i) * vec4f(dy[i]);
  if (use_silu) {
    dz *= silu4_derivative(channels.scale * centred + channels.offset);
  }
  return Point(centred, dz);
}

// Sum over the channels of a group of what part_a holds by channel.
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

// Stores the sums over a sample of a column; keeps in part_a, part_b what m1 and m2 are means of.
fn store_sums(place: Place, lane: u32, sum: vec4f, sum_centred: vec4f, scale: vec4f, rstd: vec4f) {
  let sum_xhat = rstd * sum_centred;
  part_a[lane] = scale * sum;
  part_b[lane] = scale * sum_xhat;
  if (place.in_range) {
    sums[2u * place.sample * params.columns + place.column] = sum;
    sums[(2u * place.sample + 1u) * params.columns + place.column] = sum_xhat;
  }
}

fn slope_of(i: u32, point: Point, scale: vec4f, m1: vec4f, m2: vec4f) -> vec4f {
  var slope = scale * point.dz - m1 - m2 * point.centred;
  if (has_addend) {
    slope += vec4f(addend[i]);
  }
  if (has_second_addend) {
    slope += vec4f(addend_second[i]);
  }
  return slope;
}

fn differentiate(workgroup_id: vec3u, lane: u32) {
  let place = place_of(workgroup_id, lane);
  let channels = channels_of(place);
  let rstd = rstd_of(place);
  var sum = vec4f(0.0);
  var sum_centred = vec4f(0.0);
  var i = place.first;
  for (; i + place.step < place.end; i += 2u * place.step) {
    let a = point_at(i, channels);
    let b = point_at(i + place.step, channels);
    sum += a.dz + b.dz;
    sum_centred += a.dz * a.centred + b.dz * b.centred;
  }
  if (i < place.end) {
    let a = point_at(i, channels);
    sum += a.dz;
    sum_centred += a.dz * a.centred;
  }
  part_a[lane] = sum;
  part_b[lane] = sum_centred;
  workgroupBarrier();
  if (lane < params.block) {
    for (var row = 1u; row < params.rows; row++) {
      sum += part_a[row * params.block + lane];
      sum_centred += part_b[row * params.block + lane];
    }
    store_sums(place, lane, sum, sum_centred, channels.scale, rstd);
  }
  workgroupBarrier();
  if (!place.in_range) {
    return;
  }
  let count = f32(params.group_size * params.spatial);
  let m1 = place.mask * group_sum_a(place.start) / count;
  let m2 = rstd * group_sum_b(place.start) / count;
  var pixel = place.pixel;
  let pixel_step = select(params.rows, 1u, runs);
  for (i = place.first; i < place.end; i += place.step) {
    store_dx(place, i, pixel, slope_of(i, point_at(i, channels), channels.scale, m1, m2));
    pixel += pixel_step;
  }
}
