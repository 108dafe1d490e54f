// Backward pass of group_norm.wgsl. An include.

// include: include/group_norm.wgsl

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

// Derivative of the activation, or of the identity.
fn slope_at(z: vec4f) -> vec4f {
  return select(vec4f(1.0), activate4_derivative(z), is_activated());
}

struct Point {
  centred: vec4f, // x - mean = xhat / rstd
  dz: vec4f,
}

fn point_at(place: Place, i: u32, pixel: u32, channels: Channels) -> Point {
  let centred = x_at(place, i, pixel) - channels.mean;
  return Point(centred, mask_of(i) * vec4f(dy[i]) * slope_at(channels.scale * centred + channels.offset));
}

// Stores the sums over a sample of a column; leaves the terms of m1 in part_a, and those of m2 in part_b.
fn store_sums(place: Place, lane: u32, sum: vec4f, sum_centred: vec4f, scale: vec4f, rstd: vec4f) {
  let sum_xhat = rstd * sum_centred;
  part_a[lane] = scale * sum;
  part_b[lane] = scale * sum_xhat;
  if (place.in_range) {
    sums[2u * place.sample * params.columns + place.column] = sum;
    sums[(2u * place.sample + 1u) * params.columns + place.column] = sum_xhat;
  }
}

fn slope_of(point: Point, scale: vec4f, m1: vec4f, m2: vec4f) -> vec4f {
  return scale * point.dz - m1 - m2 * point.centred;
}

fn differentiate(workgroup_id: vec3u, lane: u32) {
  let place = place_of(workgroup_id, lane);
  let channels = channels_of(place);
  let rstd = rstd_of(place);
  var sum = vec4f(0.0);
  var sum_centred = vec4f(0.0);
  var pixel = place.pixel;
  var i = place.first;
  for (; i + place.step < place.end; i += 2u * place.step) {
    let a = point_at(place, i, pixel, channels);
    let b = point_at(place, i + place.step, pixel + place.pixel_step, channels);
    pixel += 2u * place.pixel_step;
    sum += a.dz + b.dz;
    sum_centred += a.dz * a.centred + b.dz * b.centred;
  }
  if (i < place.end) {
    let a = point_at(place, i, pixel, channels);
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
  pixel = place.pixel;
  for (i = place.first; i < place.end; i += place.step) {
    store_dx(place, i, pixel, slope_of(point_at(place, i, pixel, channels), channels.scale, m1, m2));
    pixel += place.pixel_step;
  }
}
