// Huber's loss (Huber 1964) by the difference bounded to delta. An include: a function over the kernel's `params.delta`.
//
//   b(d) = clamp(d, -delta, delta)
//   h(d) = b (2 d - b)       twice Huber's loss, so that it is the squared error where delta is the largest float32; h'(d) = 2 b

fn bounded(difference: vec4f) -> vec4f {
  // A selection, because clamp() need not keep NaN.
  return select(difference, params.delta * sign(difference), abs(difference) > vec4f(params.delta));
}
