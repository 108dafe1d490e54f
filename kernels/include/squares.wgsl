// A tensor [N, 2H, 2W, Cp] as squares of 2 x 2 pixels, one for each pixel of a small tensor [N, H, W, Cp]. An include:
// parameters, positions, and the thread mapping: each invocation handles 4 vec4s of the small tensor, 256 apart.

override has_addend: bool = false;

struct Params {
  count: u32,   // vec4s of the small tensor
  width: u32,   // W
  columns: u32, // vec4s per pixel: Cp / 4
}

@group(0) @binding(0) var<uniform> params: Params;

// First of an invocation's vec4s of the small tensor.
fn first_of(group: vec3u, groups: vec3u, lane: u32) -> u32 {
  return (group.y * groups.x + group.x) * 1024u + lane;
}

// Indices in the large tensor of the four vec4s that belong to vec4 i: of the upper row, then of the lower one. Images are
// contiguous, so rows can be counted over the whole batch: row r is that of rows 2r and 2r + 1.
fn square_of(i: u32) -> vec4u {
  let pixel = i / params.columns;
  let row = pixel / params.width;
  let column = i - pixel * params.columns;
  let w = pixel - row * params.width;
  let upper = (row * 4u * params.width + 2u * w) * params.columns + column;
  let lower = upper + 2u * params.width * params.columns;
  return vec4u(upper, upper + params.columns, lower, lower + params.columns);
}
