import assert from "node:assert/strict";
import fc from "fast-check";
import { CheckpointError } from "../../lib/errors.ts";
import { type Dtype, type SafeTensor, toFloat32 } from "../../lib/files/dtypes.ts";
import { decodeSafetensors, encodeSafetensors } from "../../lib/files/safetensors.ts";

const fixture = await Deno.readFile(new URL("../golden/fixture.safetensors", import.meta.url));

/** A file with this header, or header text, and so many data bytes. */
function fileOf(header: unknown, dataBytes: number): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  return file;
}

Deno.test("safetensors reads what the reference implementation wrote", () => {
  const { tensors, metadata } = decodeSafetensors(fixture, "fixture");
  const expected: Record<string, [Dtype, number[], (number | bigint)[]]> = {
    "f32.matrix": ["F32", [2, 3], [0, -0, 1.5, 2 ** -149, 3.4028234663852886e38, -Infinity]],
    f64: ["F64", [2], [0.1, -2.5e300]],
    f16: ["F16", [7], [0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x3555, 0x7c00]],
    bf16: ["BF16", [5], [0x3f80, 0xc000, 0x7f62, 0x0001, 0xff80]],
    i64: ["I64", [2], [-(2n ** 63n), 2n ** 53n + 1n]],
    i32: ["I32", [2, 1], [-(2 ** 31), 7]],
    u32: ["U32", [1], [2 ** 32 - 1]],
    u8: ["U8", [3], [0, 255, 3]],
    bool: ["BOOL", [2], [1, 0]],
    scalar: ["F32", [], [2.25]],
    empty: ["F32", [0, 4], []],
    'name "with" ünïcode\n': ["F32", [1], [1]],
  };
  assert.deepEqual([...tensors.keys()].sort(), Object.keys(expected).sort());
  for (const [name, [dtype, shape, values]] of Object.entries(expected)) {
    const tensor = tensors.get(name)!;
    assert.deepEqual([tensor.dtype, tensor.shape, [...tensor.data]], [dtype, shape, values], name);
  }
  assert.deepEqual(metadata, { format: "pt" });
});

Deno.test("safetensors writes the same bytes as the reference implementation, whatever the order", () => {
  const { tensors } = decodeSafetensors(fixture, "fixture");
  assert.deepEqual(encodeSafetensors(tensors), fixture);
  assert.deepEqual(encodeSafetensors(new Map([...tensors].reverse())), fixture);
});

Deno.test("safetensors returns any tensors as they were written, bit for bit", () => {
  const shape = fc.array(fc.nat(4), { maxLength: 3 });
  const tensor = fc.tuple(shape, fc.constantFrom<Dtype>("F32", "U8", "F16", "I64"), fc.nat()).map(
    ([shape, dtype, seed]): SafeTensor => {
      const count = shape.reduce((a, b) => a * b, 1);
      const bytes = Uint8Array.from({ length: count * 8 }, (_, i) => Math.imul(seed + i, 0x9e3779b1) >>> 24);
      const type =
        { F32: Float32Array, U8: Uint8Array, F16: Uint16Array, I64: BigInt64Array }[dtype as "F32"];
      return { dtype, shape, data: new type(bytes.buffer, 0, count) } as SafeTensor;
    },
  );
  const name = fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("__proto__", "0", "", '"')).filter((
    text,
  ) => text !== "__metadata__");
  const raw = ({ data }: SafeTensor) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  fc.assert(
    fc.property(fc.array(fc.tuple(name, tensor), { maxLength: 6 }), fc.string(), (list, text) => {
      const tensors = new Map(list);
      const file = encodeSafetensors(tensors, { format: "pt", text });
      const read = decodeSafetensors(file, "f");
      assert.deepEqual(read.metadata, { format: "pt", text });
      assert.equal(read.tensors.size, tensors.size);
      for (const [name, tensor] of tensors) {
        const found = read.tensors.get(name)!;
        assert.deepEqual([found.dtype, found.shape, raw(found)], [tensor.dtype, tensor.shape, raw(tensor)]);
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("safetensors pads the header so that the data starts at a multiple of eight", () => {
  for (let length = 0; length < 8; length++) {
    const file = encodeSafetensors(new Map(), { format: "x".repeat(length) });
    assert.equal(Number(new DataView(file.buffer).getBigUint64(0, true)) % 8, 0);
  }
});

Deno.test("safetensors reads unaligned tensors, which the format allows", () => {
  const file = fileOf({
    a: { dtype: "U8", shape: [3], data_offsets: [0, 3] },
    b: { dtype: "F32", shape: [1], data_offsets: [3, 7] },
  }, 7);
  new DataView(file.buffer).setFloat32(file.length - 4, 1.25, true);
  assert.deepEqual([...decodeSafetensors(file, "f").tensors.get("b")!.data], [1.25]);
  const within = new Uint8Array(file.length + 1);
  within.set(file, 1);
  assert.deepEqual([...decodeSafetensors(within.subarray(1), "f").tensors.get("b")!.data], [1.25]);
});

const u8 = (begin: number, end: number, size = end - begin) => ({
  dtype: "U8",
  shape: [size],
  data_offsets: [begin, end],
});
const malformed: [what: string, header: unknown, dataBytes: number, message: RegExp][] = [
  ["text that is not JSON", '{"a":', 0, /not JSON/],
  ["a byte-order mark", "\ufeff{}", 0, /not JSON/],
  ["a list for a header", "[]", 0, /not a JSON object/],
  ["a tensor that is there twice", '{"a":{"x":"a"},"\\u0061":{}}', 0, /has "a" twice/],
  [
    "a field that is there twice",
    '{"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}',
    0,
    /"dtype" twice/,
  ],
  ["metadata that is not text", { __metadata__: { a: 1 } }, 0, /__metadata__ must map names to text/],
  ["an entry that is not an object", { a: 1 }, 0, /tensor "a": .*not an object/],
  ["an unknown dtype", { a: { ...u8(0, 1), dtype: "F8_E4M3" } }, 1, /tensor "a": unknown dtype "F8_E4M3"/],
  ["a dtype of Object.prototype", { a: { ...u8(0, 1), dtype: "toString" } }, 1, /unknown dtype "toString"/],
  ["no shape", { a: { dtype: "U8", data_offsets: [0, 1] } }, 1, /tensor "a": shape undefined is not/],
  ["a negative size", { a: { ...u8(0, 1), shape: [-1, -1] } }, 1, /tensor "a": shape \[-1,-1\] is not/],
  ["a fractional size", { a: { ...u8(0, 1), shape: [0.5, 2] } }, 1, /tensor "a": shape/],
  ["no offsets", { a: { dtype: "U8", shape: [1] } }, 1, /tensor "a": data_offsets undefined is not a pair/],
  ["three offsets", { a: { ...u8(0, 1), data_offsets: [0, 1, 2] } }, 1, /is not a pair/],
  ["offsets in the wrong order", { a: { ...u8(0, 0), data_offsets: [1, 0] } }, 1, /is not a pair/],
  [
    "a shape that the offsets do not fit",
    { a: u8(0, 4, 3) },
    4,
    /tensor "a": shape \[3\] of U8 takes 3 bytes.*give it 4/,
  ],
  ["a shape whose size overflows", { a: { ...u8(0, 4), shape: [2 ** 52, 2 ** 52] } }, 4, /tensor "a": shape/],
  ["overlapping tensors", { a: u8(0, 4), b: u8(3, 6) }, 6, /tensor "b" overlaps tensor "a"/],
  ["one range for two tensors", { a: u8(0, 4), b: u8(0, 4) }, 4, /tensor "b" overlaps tensor "a"/],
  [
    "a gap between tensors",
    { a: u8(0, 4), b: u8(6, 8) },
    8,
    /bytes 4 to 6, before tensor "b", belong to no tensor/,
  ],
  ["a gap at the start", { a: u8(1, 4) }, 4, /bytes 0 to 1, before tensor "a"/],
  ["bytes after the last tensor", { a: u8(0, 4) }, 7, /bytes 4 to 7, at the end, belong to no tensor/],
  [
    "a tensor beyond the file",
    { a: u8(0, 4), b: u8(4, 8) },
    6,
    /truncated: tensor "b" ends at byte 8.*has 6/,
  ],
];
for (const [what, header, dataBytes, message] of malformed) {
  Deno.test(`safetensors refuses ${what}`, () => {
    assert.throws(() => decodeSafetensors(fileOf(header, dataBytes), "m.safetensors"), (error: Error) => {
      assert.ok(error instanceof CheckpointError, error.stack ?? String(error));
      assert.match(error.message, message);
      assert.match(error.message, /^m\.safetensors: /);
      return true;
    });
  });
}

Deno.test("safetensors refuses a header longer than the file or than the format allows", () => {
  const file = fileOf({}, 0);
  new DataView(file.buffer).setBigUint64(0, 3n, true);
  assert.throws(
    () => decodeSafetensors(file, "f"),
    /f: truncated: the header is 3 bytes long, the file has 2/,
  );
  new DataView(file.buffer).setBigUint64(0, 100_000_001n, true);
  assert.throws(() => decodeSafetensors(file, "f"), /header of 100000001 bytes, at most 100000000/);
  new DataView(file.buffer).setBigUint64(0, 2n ** 64n - 1n, true);
  assert.throws(() => decodeSafetensors(file, "f"), /at most 100000000/);
});

Deno.test("safetensors refuses a header that is not UTF-8", () => {
  const file = fileOf('{"a":1}', 0);
  file[10] = 0xff;
  assert.throws(() => decodeSafetensors(file, "f"), /f: the header is not JSON: .*not valid/);
});

Deno.test("safetensors refuses a file cut off at any byte", () => {
  for (let length = 0; length < fixture.length; length++) {
    assert.throws(() => decodeSafetensors(fixture.slice(0, length), "f"), CheckpointError, `${length} bytes`);
  }
});

Deno.test("safetensors with a flipped bit give another value or a CheckpointError, never anything else", () => {
  for (let bit = 0; bit < fixture.length * 8; bit++) {
    const damaged = fixture.slice();
    damaged[bit >> 3] ^= 1 << (bit & 7);
    try {
      decodeSafetensors(damaged, "f");
    } catch (error) {
      assert.ok(error instanceof CheckpointError, `bit ${bit}: ${error}`);
    }
  }
});

Deno.test("safetensors does not write a tensor that could not be read", () => {
  const write = (name: string, tensor: SafeTensor) => () => encodeSafetensors(new Map([[name, tensor]]));
  const data = new Float32Array(4);
  assert.throws(
    write("a", { dtype: "F32", shape: [5], data }),
    /tensor "a": shape \[5\] has 5 elements, the data 4/,
  );
  assert.throws(write("a", { dtype: "F32", shape: [-2, -2], data }), /tensor "a": shape/);
  assert.throws(write("a", { dtype: "U8", shape: [4], data } as unknown as SafeTensor), /U8 .*Float32Array/);
  assert.throws(write("__metadata__", { dtype: "F32", shape: [4], data }), /__metadata__/);
});

Deno.test("toFloat32 converts all 65,536 half and bfloat16 values exactly", () => {
  const data = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
  const view = new DataView(new ArrayBuffer(4));
  const halves = toFloat32({ dtype: "F16", shape: [65536], data }, "t");
  const brains = toFloat32({ dtype: "BF16", shape: [65536], data }, "t");
  for (let bits = 0; bits < 65536; bits++) {
    view.setUint16(0, bits);
    assert.ok(Object.is(halves[bits], view.getFloat16(0)), `half ${bits}`);
    view.setUint32(0, bits * 65536);
    assert.ok(Object.is(brains[bits], view.getFloat32(0)), `bfloat16 ${bits}`);
  }
});

Deno.test("toFloat32 keeps F32, rounds F64, and refuses integers by name", () => {
  const data = new Float32Array([1, 2]);
  assert.equal(toFloat32({ dtype: "F32", shape: [2], data }, "t"), data);
  const doubles = new Float64Array([0.1]);
  assert.deepEqual([...toFloat32({ dtype: "F64", shape: [1], data: doubles }, "t")], [Math.fround(0.1)]);
  assert.throws(() => toFloat32({ dtype: "I32", shape: [1], data: new Int32Array(1) }, "f: tensor x"), {
    name: "CheckpointError",
    message: "f: tensor x: expected dtype F32, F16, BF16 or F64, got I32",
  });
});
