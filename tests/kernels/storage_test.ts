import assert from "node:assert/strict";
import { halfKernel, storedIn } from "../../kernels/storage.ts";
import { adamwKernel, addKernel } from "../../kernels/sources.ts";

Deno.test("a kernel that moves activations has one variant in float16, with the same bindings", () => {
  const half = halfKernel(addKernel);
  assert.equal(half.name, "add_half");
  assert.match(half.code, /^enable f16;\n[^]*alias Stored = f16;\n *alias Stored4 = vec4<f16>;/);
  assert.deepEqual([half.bindings, half.params, half.entryPoints], [
    addKernel.bindings,
    addKernel.params,
    addKernel.entryPoints,
  ]);
  assert.equal(halfKernel(addKernel), half);
  assert.equal(halfKernel(half), half);
});

Deno.test("a kernel that moves none is the same in float16, and float32 changes nothing", () => {
  assert.equal(halfKernel(adamwKernel), adamwKernel);
  const launches = [{ kernel: addKernel }] as unknown as Parameters<typeof storedIn>[1];
  assert.equal(storedIn(false, launches), launches);
  assert.equal(storedIn(undefined, launches), launches);
});
