// Stores of group_norm.wgsl where dx is one tensor, with up to two addends. An include.

// Number of addends; by default that of the parameters.
override addends: u32 = ANY;

@group(0) @binding(8) var<storage, read> addend: array<Stored4>;
@group(0) @binding(12) var<storage, read> addend_second: array<Stored4>;

fn store_dx(_place: Place, i: u32, _pixel: u32, value: vec4f) {
  let count = select(addends, params.addends, addends == ANY);
  var slope = value;
  if (count > 0u) {
    slope += vec4f(addend[i]);
  }
  if (count > 1u) {
    slope += vec4f(addend_second[i]);
  }
  dx[i] = Stored4(slope);
}
