/**
 * Records of TensorFlow's record files: length, its checksum, data, its checksum.
 *
 * @module
 */
import { maskedCrc32c } from "./crc32c.ts";

/** Bytes around the data: a length of 8, and two checksums. */
const FRAME_BYTES = 16;

/** A record: u64 length, u32 masked CRC-32C of the length, data, u32 masked CRC-32C of the data; little endian. */
export function frameRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(FRAME_BYTES + data.length);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return record;
}
