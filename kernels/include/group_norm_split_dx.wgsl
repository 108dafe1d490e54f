// Stores of group_norm.wgsl where x is a concatenation, and the gradients of its two tensors are wanted. An include. One addend,
// because WebGPU guarantees eight storage buffers an entry point.

override has_addend: bool = false;

@group(0) @binding(8) var<storage, read> addend: array<Stored4>;
@group(0) @binding(11) var<storage, read_write> dx_second: array<Stored4>;

fn store_dx(place: Place, i: u32, pixel: u32, value: vec4f) {
  var slope = value;
  if (has_addend) {
    slope += vec4f(addend[i]);
  }
  let row = place.sample * params.spatial + pixel;
  if (place.column < params.first_columns) {
    dx[row * params.first_columns + place.column] = Stored4(slope);
  } else {
    dx_second[row * (params.columns - params.first_columns) + place.column - params.first_columns] = Stored4(slope);
  }
}
