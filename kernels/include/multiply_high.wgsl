// High half of a 32 x 32 bit product. An include: a function only.

// High 32 bits of the 64-bit product, from 16-bit halves, since WGSL has no 64-bit integers; no partial sum overflows.
fn multiply_high(a: u32, b: u32) -> u32 {
  let a_high = a >> 16u;
  let a_low = a & 0xffffu;
  let b_high = b >> 16u;
  let b_low = b & 0xffffu;
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let carry = a_low * b_high + (middle & 0xffffu);
  return a_high * b_high + (middle >> 16u) + (carry >> 16u);
}
