// Standard normal noise for one vec4 of channels of an image. An include: functions only.

// include: include/threefry.wgsl
// include: include/normal.wgsl

// Zeroes the lanes past the last channel; `first` is the channel of lane 0.
fn keep_channels(values: vec4f, first: u32, channels: u32) -> vec4f {
  return select(vec4f(0.0), values, vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(channels));
}

// Lanes 0, 1 are normal2 of the first two Threefry words of the counter, lanes 2, 3 of the last two.
fn image_noise(counter: vec4u, key: vec2u, first: u32, channels: u32) -> vec4f {
  let words = threefry4x32(counter, key);
  return keep_channels(vec4f(normal2(words.x, words.y), normal2(words.z, words.w)), first, channels);
}
