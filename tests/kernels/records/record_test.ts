import assert from "node:assert/strict";
import fc from "fast-check";
import * as layouts from "../../../kernels/records/layouts.ts";
import {
  countRecords,
  decodeRecord,
  encodeRecord,
  type RecordLayout,
} from "../../../kernels/records/record.ts";

const all = Object.values(layouts).filter((value) => typeof value === "object") as RecordLayout[];

Deno.test("every layout packs its fields in order without gaps, as WGSL packs scalars", () => {
  assert.ok(all.length >= 7);
  for (const { name, bytes, fields } of all) {
    const offsets = Object.values(fields).map(({ offset }) => offset);
    assert.deepEqual(offsets, offsets.map((_, i) => 4 * i), name);
    assert.equal(bytes, 4 * offsets.length, name);
  }
});

Deno.test("a record is read back as it was written, and its neighbours keep their bytes", () => {
  const layout = fc.constantFrom(...all);
  const cases = layout.chain((layout) =>
    fc.record({
      layout: fc.constant(layout),
      values: fc.record(Object.fromEntries(
        Object.entries(layout.fields).map(([name, { type }]) => [
          name,
          type === "f32" ? fc.float() : fc.integer({ min: 0, max: 0xffffffff }),
        ]),
      )),
      index: fc.nat(2),
    })
  );
  fc.assert(fc.property(cases, ({ layout, values, index }) => {
    const bytes = new Uint8Array(3 * layout.bytes).fill(0xaa).buffer;
    encodeRecord(layout, values, bytes, index);
    assert.deepEqual({ ...decodeRecord(layout, bytes, index) }, { ...values });
    const others = new Uint8Array(bytes).filter((_, i) => Math.floor(i / layout.bytes) !== index);
    assert.ok(others.every((byte) => byte === 0xaa));
    assert.equal(countRecords(layout, bytes), 3);
  }));
});

Deno.test("integers and floats lie where the kernels read them", () => {
  const layout = {
    name: "Pair",
    bytes: 12,
    fields: {
      word: { type: "u32", offset: 0 },
      signed: { type: "i32", offset: 4 },
      number: { type: "f32", offset: 8 },
    },
  } as const satisfies RecordLayout;
  const bytes = encodeRecord(layout, { word: 0x80000001, signed: -2, number: 1.5 });
  assert.deepEqual([...new Uint32Array(bytes)], [0x80000001, 0xfffffffe, 0x3fc00000]);
});
