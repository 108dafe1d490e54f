// Images of a training batch. An include: functions over the kernel's buffers `step_state` and `order`.

// Index in the data set of sample n's image; padding samples have the first one's.
fn image_of(n: u32) -> u32 {
  return order[step_state.position + select(0u, n, n < step_state.count)];
}

// Label of an image, from the word of the labels that has its byte.
fn label_in(word: u32, image: u32) -> u32 {
  return extractBits(word, 8u * (image % 4u), 8u);
}
