/**
 * CRC-32C (Castagnoli), with the mask of TensorFlow's record files.
 *
 * @module
 */

/** Generator polynomial, bits reversed (RFC 3720, appendix B.4). */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
  return crc;
});

/** CRC-32C of bytes. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff]!; // the table has 256 entries
  return ~crc >>> 0;
}

/**
 * CRC-32C masked as in TensorFlow's records (`tsl/lib/hash/crc32c.h`): rotated and offset, because the checksum of data that
 * contains its own checksum says little.
 */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
