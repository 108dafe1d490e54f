/**
 * Samples in the form that others' evaluation tools read: a NumPy archive `samples.npz` with one array `arr_0` of uint8
 * [N, H, W, 3], as guided-diffusion's evaluator takes it.
 *
 * The archive is a ZIP file without compression, as numpy.savez writes it, and the array a `.npy` file (NumPy's format 1.0).
 *
 * @module
 */
import { crc32 } from "node:zlib";

/**
 * Encodes images as a NumPy archive.
 *
 * @param pixels [count, height, width, 3]
 */
export function encodeNpz(
  pixels: Uint8Array,
  count: number,
  height: number,
  width: number,
): Uint8Array<ArrayBuffer> {
  return storedZip("arr_0.npy", encodeNpy(pixels, [count, height, width, 3]));
}

/** Bytes before the header: magic, version 1.0, length of the header. */
const PREFIX = [0x93, ...new TextEncoder().encode("NUMPY"), 1, 0];

function encodeNpy(values: Uint8Array, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const dictionary = `{'descr': '|u1', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  // Prefix, length and header together are padded to a multiple of 64 and end with a line feed.
  const unpadded = PREFIX.length + 2 + dictionary.length + 1;
  const header = dictionary + " ".repeat(64 * Math.ceil(unpadded / 64) - unpadded) + "\n";
  const bytes = new Uint8Array(PREFIX.length + 2 + header.length + values.length);
  bytes.set(PREFIX);
  new DataView(bytes.buffer).setUint16(PREFIX.length, header.length, true);
  bytes.set(new TextEncoder().encode(header), PREFIX.length + 2);
  bytes.set(values, PREFIX.length + 2 + header.length);
  return bytes;
}

/** 1 January 1980, ZIP's first day: archives of the same images have the same bytes. */
const DATE = 0x21;

/** A ZIP file with one file, stored without compression; below 4 GiB. */
function storedZip(name: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const label = new TextEncoder().encode(name);
  // Fields that the local and the central header share: version, flags, method, time, date, CRC, sizes, lengths of name, extra
  const shared = new DataView(new ArrayBuffer(26));
  shared.setUint16(0, 20, true);
  shared.setUint16(8, DATE, true);
  shared.setUint32(10, crc32(content), true);
  shared.setUint32(14, content.length, true);
  shared.setUint32(18, content.length, true);
  shared.setUint16(22, label.length, true);
  const local = [...signature(0x04034b50), ...new Uint8Array(shared.buffer), ...label];
  // Made by version 2.0, then the shared fields, lengths and attributes (none), and the local header's offset (0)
  const central = [
    ...signature(0x02014b50),
    ...[20, 0],
    ...new Uint8Array(shared.buffer),
    ...new Array(14).fill(0),
    ...label,
  ];
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, 1, true);
  end.setUint16(10, 1, true);
  end.setUint32(12, central.length, true);
  end.setUint32(16, local.length + content.length, true);
  const parts = [Uint8Array.from(local), content, Uint8Array.from(central), new Uint8Array(end.buffer)];
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function signature(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value, true);
  return new Uint8Array(view.buffer);
}
