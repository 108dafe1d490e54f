// Forward pass of group_norm.wgsl: mean and variance by merging moments, and the loops over pixels. An include.

// include: include/group_norm.wgsl

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
  let origin = x_at(place, place.first, place.pixel);
  var sum = vec4f(0.0);
  var squares = vec4f(0.0);
  var pixel = place.pixel;
  var i = place.first;
  for (; i + place.step < place.end; i += 2u * place.step) {
    let a = x_at(place, i, pixel) - origin;
    let b = x_at(place, i + place.step, pixel + place.pixel_step) - origin;
    sum += a + b;
    squares += a * a + b * b;
    pixel += 2u * place.pixel_step;
  }
  if (i < place.end) {
    let a = x_at(place, i, pixel) - origin;
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
  // No branch: each store would compile twice.
  y[i] = Stored4(mask * select(z, activate4(z), is_activated()));
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
  let scale = gamma[params.gamma_first + affine_of(place)] * rstd;
  let offset = beta[affine_of(place)];
  if (place.row == 0u) {
    store_stats(place, mean, rstd, scale, offset);
  }
  var pixel = place.pixel;
  for (var i = place.first; i < place.end; i += place.step) {
    store_y(i, (x_at(place, i, pixel) - mean) * scale + offset, mask_of(i));
    pixel += place.pixel_step;
  }
}
