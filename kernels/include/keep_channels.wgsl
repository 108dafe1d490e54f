// Zeroes the lanes past the last channel; `first` is the channel of lane 0. An include: functions only.

fn keep_channels(values: vec4f, first: u32, channels: u32) -> vec4f {
  return select(vec4f(0.0), values, vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(channels));
}
