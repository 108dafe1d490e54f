import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import { encodeNpz } from "../../lib/evaluation/archive_export.ts";

Deno.test("samples.npz is a ZIP file with one uint8 array of NumPy's format", () => {
  const pixels = Uint8Array.from({ length: 2 * 3 * 4 * 3 }, (_, i) => i);
  const bytes = encodeNpz(pixels, 2, 3, 4);
  const view = new DataView(bytes.buffer);
  const text = (at: number, length: number) =>
    new TextDecoder("latin1").decode(bytes.subarray(at, at + length));

  // End of the central directory, then the directory, then the file that it points to
  const end = bytes.length - 22;
  assert.equal(view.getUint32(end, true), 0x06054b50);
  const [size, central] = [view.getUint32(end + 12, true), view.getUint32(end + 16, true)];
  assert.equal(central + size, end);
  assert.equal(view.getUint32(central, true), 0x02014b50);
  assert.equal(view.getUint32(central + 42, true), 0, "offset of the local header");
  assert.equal(text(central + 46, 9), "arr_0.npy");
  assert.equal(central + 46 + 9, end);
  assert.equal(view.getUint32(0, true), 0x04034b50);
  const length = view.getUint32(18, true);
  assert.deepEqual([view.getUint32(22, true), view.getUint16(8, true)], [length, 0], "stored");
  const content = bytes.subarray(30 + view.getUint16(26, true) + view.getUint16(28, true), central);
  assert.equal(content.length, length);
  assert.equal(crc32(content), view.getUint32(14, true));
  assert.equal(view.getUint32(central + 16, true), view.getUint32(14, true));

  assert.deepEqual([...content.subarray(0, 8)], [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  const header = content[8]! + 256 * content[9]!;
  assert.equal((10 + header) % 64, 0);
  const dictionary = new TextDecoder().decode(content.subarray(10, 10 + header));
  assert.match(dictionary, /^\{'descr': '\|u1', 'fortran_order': False, 'shape': \(2, 3, 4, 3\), \} *\n$/);
  assert.deepEqual(content.slice(10 + header), pixels);
});
