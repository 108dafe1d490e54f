// Stores of group_norm.wgsl where dx is one tensor, with up to two addends. An include.

override has_addend: bool = false;
override has_second_addend: bool = false;

@group(0) @binding(8) var<storage, read> addend: array<Stored4>;
@group(0) @binding(12) var<storage, read> addend_second: array<Stored4>;

fn store_dx(_place: Place, i: u32, _pixel: u32, value: vec4f) {
  var slope = value;
  if (has_addend) {
    slope += vec4f(addend[i]);
  }
  if (has_second_addend) {
    slope += vec4f(addend_second[i]);
  }
  dx[i] = Stored4(slope);
}
