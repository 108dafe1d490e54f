// Group normalisation (Wu & He 2018), with the SiLU that follows it in residual blocks fused in.
//
//   xhat = (x - mean) rstd,   z = gamma xhat + beta,   y = z or silu(z)
//   mean, var over H, W and the channels of a group;  rstd = 1 / sqrt(var + eps)
//
//   dz = dy or dy silu'(z)
//   dx = addend + rstd (gamma dz - m1 - xhat m2),   m1 = mean(gamma dz),  m2 = mean(gamma dz xhat) over the group
//   dgamma = sum(dz xhat),  dbeta = sum(dz)  over N, H, W
//
// x, y, dy, dx, addend [N, H*W, Cp]; gamma, beta, dgamma, dbeta [Cp]; stats [N, groups, (mean, rstd)];
// sums [N, 2, Cp], per sample: sum(dz), sum(dz xhat). All float32, written `=`, padding lanes zero.
//
// One workgroup takes one sample and a block of channels that holds whole groups and whole vec4s. An invocation keeps
// to one vec4 of channels (its column) and every `rows`-th pixel, so that what belongs to a channel is loaded once.
// Sums run in registers, then over the rows in order, then over the channels of a group: any group size works, and
// padding lanes never enter. dgamma and dbeta add the samples in order. The second pass over x finds it in cache.
//
// The variance survives a mean far from zero: each of the three stages sums differences from its own first value and
// merges moments (Chan, Golub, LeVeque 1983); a mean is kept as that value plus a small difference until the end.
// Padding lanes take part with the last group's statistics: in forward their gamma and beta are zero, in backward their
// rstd is made so.

// include: silu_math.wgsl

override use_silu: bool = false;
override has_addend: bool = false;
override lanes: u32 = 256;

struct Params {
  batch: u32,
  spatial: u32,    // H * W
  channels: u32,   // C, without padding
  columns: u32,    // vec4s of a pixel: Cp / 4
  block: u32,      // columns that one workgroup takes; at most `lanes`
  group_size: u32, // channels of a group
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> gamma: array<vec4f>;
@group(0) @binding(3) var<storage, read> beta: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> stats: array<vec2f>;
@group(0) @binding(6) var<storage, read> saved_stats: array<vec2f>;
@group(0) @binding(7) var<storage, read> dy: array<vec4f>;
@group(0) @binding(8) var<storage, read> addend: array<vec4f>;
@group(0) @binding(9) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(10) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(11) var<storage, read> saved_sums: array<vec4f>;
@group(0) @binding(12) var<storage, read_write> dgamma: array<vec4f>;
@group(0) @binding(13) var<storage, read_write> dbeta: array<vec4f>;

// Quantities per invocation, indexed by its lane; after the reduction over rows, per column of the block.
var<workgroup> part_a: array<vec4f, lanes>;
var<workgroup> part_b: array<vec4f, lanes>;
var<workgroup> part_origin: array<vec4f, lanes>;

// Where an invocation works.
struct Place {
  sample: u32,
  row: u32,       // its first pixel
  rows: u32,      // its step from pixel to pixel
  column: u32,    // its column within a pixel
  group: vec4u,   // group of each of its four channels
  start: vec4u,   // first channel of that group, counted from the block's first channel
  mask: vec4f,    // 0 in padding lanes
  in_range: bool, // false: a spare invocation, which only meets the others at barriers
}

fn place_of(workgroup_id: vec3u, lane: u32) -> Place {
  let first_column = workgroup_id.x * params.block;
  let rows = lanes / params.block;
  let row = lane / params.block;
  let column = first_column + lane - row * params.block;
  let channel = 4u * column + vec4u(0u, 1u, 2u, 3u);
  let last = vec4u(params.channels - 1u);
  let group = min(channel, last) / params.group_size;
  return Place(
    workgroup_id.y,
    row,
    rows,
    column,
    group,
    group * params.group_size - 4u * first_column,
    select(vec4f(0.0), vec4f(1.0), channel <= last),
    row < rows && column < params.columns,
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

// What four lanes need of their groups.
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
  if (!place.in_range || place.row >= params.spatial) {
    return Moments(vec4f(0.0), vec4f(0.0), vec4f(0.0));
  }
  let step = place.rows * params.columns;
  let end = (place.sample + 1u) * params.spatial * params.columns;
  let first = (place.sample * params.spatial + place.row) * params.columns + place.column;
  let origin = x[first];
  var sum = vec4f(0.0);
  var squares = vec4f(0.0);
  for (var i = first + step; i < end; i += step) {
    let d = x[i] - origin;
    sum += d;
    squares += d * d;
  }
  let count = f32((params.spatial - place.row + place.rows - 1u) / place.rows);
  return Moments(origin, sum / count, squares - sum * sum / count);
}

// Merges the moments of one column over the rows.
fn merge_rows(place: Place, lane: u32, own: Moments) -> Moments {
  let whole = params.spatial / place.rows;
  let rest = params.spatial - whole * place.rows;
  let own_count = f32(whole + select(0u, 1u, rest > 0u));
  var sum = own_count * own.a;
  var squares = own.b + own_count * own.a * own.a;
  for (var row = 1u; row < min(place.rows, params.spatial); row++) {
    let i = row * params.block + lane;
    let count = f32(whole + select(0u, 1u, row < rest));
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
    // The four lanes are of one group.
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

@compute @workgroup_size(lanes)
fn forward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = place_of(workgroup_id, lane);
  let own = pixel_moments(place);
  part_origin[lane] = own.origin;
  part_a[lane] = own.a;
  part_b[lane] = own.b;
  workgroupBarrier();
  if (lane < params.block) {
    let merged = merge_rows(place, lane, own);
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
  if (place.row == 0u) {
    // Lanes of one group write the same values.
    let first = place.sample * (params.channels / params.group_size);
    stats[first + place.group.x] = vec2f(mean.x, rstd.x);
    stats[first + place.group.y] = vec2f(mean.y, rstd.y);
    stats[first + place.group.z] = vec2f(mean.z, rstd.z);
    stats[first + place.group.w] = vec2f(mean.w, rstd.w);
  }
  let scale = gamma[place.column] * rstd;
  let offset = beta[place.column];
  let step = place.rows * params.columns;
  let end = (place.sample + 1u) * params.spatial * params.columns;
  let first = (place.sample * params.spatial + place.row) * params.columns + place.column;
  for (var i = first; i < end; i += step) {
    let z = (x[i] - mean) * scale + offset;
    if (use_silu) {
      y[i] = silu4(z);
    } else {
      y[i] = z;
    }
  }
}

fn slope_of(slope: vec4f, z: vec4f) -> vec4f {
  if (use_silu) {
    return slope * silu4_derivative(z);
  }
  return slope;
}

fn group_means(start: vec4u) -> Pair {
  var a = vec4f(0.0);
  var b = vec4f(0.0);
  if (params.group_size % 4u == 0u) {
    let first = start.x >> 2u;
    for (var i = first; i < first + (params.group_size >> 2u); i++) {
      a += part_a[i];
      b += part_b[i];
    }
    a = sum4(a);
    b = sum4(b);
  } else {
    for (var i = 0u; i < params.group_size; i++) {
      a += channels_a(start + i);
      b += channels_b(start + i);
    }
  }
  let count = f32(params.group_size * params.spatial);
  return Pair(a / count, b / count);
}

@compute @workgroup_size(lanes)
fn backward(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = place_of(workgroup_id, lane);
  let first = (place.sample * params.spatial + place.row) * params.columns + place.column;
  let step = place.rows * params.columns;
  let end = select(first, (place.sample + 1u) * params.spatial * params.columns, place.in_range);

  let first_group = place.sample * (params.channels / params.group_size);
  let x_stats = saved_stats[first_group + place.group.x];
  let y_stats = saved_stats[first_group + place.group.y];
  let z_stats = saved_stats[first_group + place.group.z];
  let w_stats = saved_stats[first_group + place.group.w];
  let mean = vec4f(x_stats.x, y_stats.x, z_stats.x, w_stats.x);
  let rstd = vec4f(x_stats.y, y_stats.y, z_stats.y, w_stats.y) * place.mask;
  let column = min(place.column, params.columns - 1u);
  let scale = gamma[column];
  let offset = beta[column];

  var sum = vec4f(0.0);
  var sum_xhat = vec4f(0.0);
  for (var i = first; i < end; i += step) {
    let xhat = (x[i] - mean) * rstd;
    let dz = slope_of(dy[i], scale * xhat + offset);
    sum += dz;
    sum_xhat += dz * xhat;
  }
  part_a[lane] = sum;
  part_b[lane] = sum_xhat;
  workgroupBarrier();
  if (lane < params.block) {
    for (var row = 1u; row < place.rows; row++) {
      sum += part_a[row * params.block + lane];
      sum_xhat += part_b[row * params.block + lane];
    }
    part_a[lane] = scale * sum;
    part_b[lane] = scale * sum_xhat;
    if (place.in_range) {
      sums[2u * place.sample * params.columns + place.column] = sum;
      sums[(2u * place.sample + 1u) * params.columns + place.column] = sum_xhat;
    }
  }
  workgroupBarrier();
  if (!place.in_range) {
    return;
  }
  let means = group_means(place.start);
  for (var i = first; i < end; i += step) {
    let xhat = (x[i] - mean) * rstd;
    let dz = slope_of(dy[i], scale * xhat + offset);
    var slope = rstd * (scale * dz - means.a - xhat * means.b);
    if (has_addend) {
      slope += addend[i];
    }
    dx[i] = slope;
  }
}

// dbeta and dgamma from the sums of the samples: one invocation per vec4 of either.
@compute @workgroup_size(64)
fn sum_samples(@builtin(global_invocation_id) id: vec3u) {
  let columns = params.columns;
  if (id.x >= 2u * columns) {
    return;
  }
  var sum = vec4f(0.0);
  for (var n = 0u; n < params.batch; n++) {
    sum += saved_sums[n * 2u * columns + id.x];
  }
  if (id.x < columns) {
    dbeta[id.x] = sum;
  } else {
    dgamma[id.x - columns] = sum;
  }
}
