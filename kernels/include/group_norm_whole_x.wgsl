// Loads of group_norm.wgsl where x is one tensor. An include.

fn x_at(_place: Place, i: u32, _pixel: u32) -> vec4f {
  return vec4f(x[i]);
}

fn first_value(place: Place, channel: u32) -> f32 {
  return f32(x[place.base - place.column + (channel >> 2u)][channel & 3u]);
}
