// Concatenation along channels for the skip connections of a U-Net (Ronneberger et al. 2015), and its gradient, a channel
// slice.
//
//   forward   y[row, c] = a[row, c] for c < A,   b[row, c - A] for A <= c < A + B
//   slice     dx[row, c] = addend[row, c] + dy[row, F + c] for c < K
//
// a [rows, Ap], b [rows, Bp], y [rows, (A + B)p]; dy [rows, Cp], dx, addend [rows, Kp]; a row is a pixel, p rounds up
// to a multiple of 4. All as stored, outputs written `=`, padding lanes zero. Values are copied; the addend is added in
// float32. Each invocation writes 4 vec4s of the output, 256 apart. forward and slice require A, or F, to be a multiple of
// 4; forward_scalar and slice_scalar do not.

// include: include/storage.wgsl

override has_addend: bool = false;

struct Params {
  rows: u32,
  columns: u32,  // vec4s per output row
  before: u32,   // A or F
  count: u32,    // B or K
  a_stride: u32, // scalars per row of a, or of dy
  b_stride: u32, // scalars per row of b; 0 in a slice
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored4>;
@group(0) @binding(2) var<storage, read> b: array<Stored4>;
@group(0) @binding(3) var<storage, read> a_scalars: array<Stored>;
@group(0) @binding(4) var<storage, read> b_scalars: array<Stored>;
@group(0) @binding(5) var<storage, read_write> y: array<Stored4>;
@group(0) @binding(6) var<storage, read> dy: array<Stored4>;
@group(0) @binding(7) var<storage, read> dy_scalars: array<Stored>;
@group(0) @binding(8) var<storage, read> addend: array<Stored4>;
@group(0) @binding(9) var<storage, read_write> dx: array<Stored4>;

const LANES = 256u;
const PER_INVOCATION = 4u;

// Row and column of an output vec4; next() advances by one workgroup without a division.
struct Place {
  row: u32,
  column: u32,
}

fn place_of(i: u32) -> Place {
  let row = i / params.columns;
  return Place(row, i - row * params.columns);
}

fn next(place: Place, step: Place) -> Place {
  let column = place.column + step.column;
  let wraps = column >= params.columns;
  return Place(
    place.row + step.row + select(0u, 1u, wraps),
    select(column, column - params.columns, wraps),
  );
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * LANES * PER_INVOCATION + lane;
  let step = place_of(LANES);
  var place = place_of(first);
  let a_columns = params.before >> 2u;
  let b_columns = params.b_stride >> 2u;
  let end = min(params.rows * params.columns, first + LANES * PER_INVOCATION);
  for (var i = first; i < end; i += LANES) {
    if (place.column < a_columns) {
      y[i] = a[place.row * a_columns + place.column];
    } else {
      y[i] = b[place.row * b_columns + place.column - a_columns];
    }
    place = next(place, step);
  }
}

fn concatenated(row: u32, channel: u32) -> Stored {
  if (channel < params.before) {
    return a_scalars[row * params.a_stride + channel];
  }
  if (channel < params.before + params.count) {
    return b_scalars[row * params.b_stride + channel - params.before];
  }
  return 0.0;
}

@compute @workgroup_size(LANES)
fn forward_scalar(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * LANES * PER_INVOCATION + lane;
  let step = place_of(LANES);
  var place = place_of(first);
  let end = min(params.rows * params.columns, first + LANES * PER_INVOCATION);
  for (var i = first; i < end; i += LANES) {
    let channel = 4u * place.column;
    y[i] = Stored4(
      concatenated(place.row, channel),
      concatenated(place.row, channel + 1u),
      concatenated(place.row, channel + 2u),
      concatenated(place.row, channel + 3u),
    );
    place = next(place, step);
  }
}

@compute @workgroup_size(LANES)
fn slice(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * LANES * PER_INVOCATION + lane;
  let step = place_of(LANES);
  var place = place_of(first);
  let end = min(params.rows * params.columns, first + LANES * PER_INVOCATION);
  for (var i = first; i < end; i += LANES) {
    var slope = vec4f(dy[place.row * (params.a_stride >> 2u) + (params.before >> 2u) + place.column]);
    // The last vec4 may include channels of dy past the slice.
    slope = select(vec4f(0.0), slope, 4u * place.column + vec4u(0u, 1u, 2u, 3u) < vec4u(params.count));
    if (has_addend) {
      slope += vec4f(addend[i]);
    }
    dx[i] = Stored4(slope);
    place = next(place, step);
  }
}

fn sliced(row: u32, channel: u32) -> f32 {
  if (channel < params.count) {
    return f32(dy_scalars[row * params.a_stride + params.before + channel]);
  }
  return 0.0;
}

@compute @workgroup_size(LANES)
fn slice_scalar(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * LANES * PER_INVOCATION + lane;
  let step = place_of(LANES);
  var place = place_of(first);
  let end = min(params.rows * params.columns, first + LANES * PER_INVOCATION);
  for (var i = first; i < end; i += LANES) {
    let channel = 4u * place.column;
    var slope = vec4f(
      sliced(place.row, channel),
      sliced(place.row, channel + 1u),
      sliced(place.row, channel + 2u),
      sliced(place.row, channel + 3u),
    );
    if (has_addend) {
      slope += vec4f(addend[i]);
    }
    dx[i] = Stored4(slope);
    place = next(place, step);
  }
}
