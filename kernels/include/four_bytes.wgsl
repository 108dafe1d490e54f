// Bytes of a data set. An include: a function over the kernel's buffer `images`.

// Four bytes at any byte offset, since three-byte pixels are not aligned to words.
fn four_bytes(offset: u32) -> vec4u {
  let shift = 8u * (offset % 4u);
  let low = images[offset / 4u] >> shift;
  let next = images[min(offset / 4u + 1u, arrayLength(&images) - 1u)];
  // Two shifts, because WGSL takes shift counts modulo 32.
  return unpack4xU8(low | ((next << (31u - shift)) << 1u));
}
