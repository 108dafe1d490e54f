/**
 * CRC-32 of PNG chunks (W3C "Portable Network Graphics, third edition", annex D), where `node:zlib` is not to be had.
 *
 * @module
 */

/** The polynomial, lowest bit first. */
const POLYNOMIAL = 0xedb88320;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? POLYNOMIAL ^ (value >>> 1) : value >>> 1;
  return value;
});

/** CRC-32 of bytes, from 0 to 2^32 - 1. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8); // the table has 256 entries
  return (crc ^ 0xffffffff) >>> 0;
}
