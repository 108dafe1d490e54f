import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { modelDigest } from "../../lib/sampling/model_digest.ts";

Deno.test("the digest of a model covers names, shapes and values, not the order of the tensors", async () => {
  const tensor = (shape: number[], ...values: number[]) => ({ shape, data: Float32Array.from(values) });
  const tensors: [string, ReturnType<typeof tensor>][] = [["b", tensor([1, 2], 1, 2)], ["a", tensor([1], 3)]];
  const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");
  const line = ([name, { shape, data }]: (typeof tensors)[number]) =>
    `${name} ${shape.join("x")} ${sha256(new Uint8Array(data.buffer))}\n`;
  const expected = sha256(line(tensors[1]) + line(tensors[0]));
  assert.equal(await modelDigest(new Map(tensors)), expected);
  assert.equal(await modelDigest(new Map(tensors.toReversed())), expected);
  for (const other of [tensor([2, 1], 1, 2), tensor([1, 2], 1, 2.0000002)]) {
    assert.notEqual(await modelDigest(new Map([["b", other], tensors[1]])), expected);
  }
});
