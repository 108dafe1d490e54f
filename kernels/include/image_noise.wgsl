// Standard normal noise for one vec4 of channels of an image. An include: functions only.

// include: include/keep_channels.wgsl
// include: include/threefry.wgsl
// include: include/normal.wgsl

// Lanes 0, 1 are normal2 of the first two Threefry words of the counter, lanes 2, 3 of the last two.
fn image_noise(counter: vec4u, key: vec2u, first: u32, channels: u32) -> vec4f {
  let words = threefry4x32(counter, key);
  return keep_channels(vec4f(normal2(words.x, words.y), normal2(words.z, words.w)), first, channels);
}
