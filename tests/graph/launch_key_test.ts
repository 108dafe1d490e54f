import assert from "node:assert/strict";
import type { KernelSource, Launch } from "../../kernels/source.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { launchKey, pipelineKey } from "../../lib/graph/launch_key.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";

const g = new Graph();
const [x, other] = ["x", "other"].map((name) => g.input(name, [1, 1, 1, 4]));
const [y, again, larger] = [4, 4, 8].map((width) => g.tensor("y", [1, 1, 1, width], "activation", false));

const kernel = (name: string): KernelSource => ({
  ...{ name, code: "", params: {}, entryPoints: ["main"] },
  bindings: { x: { binding: 1, access: "read" }, y: { binding: 2, access: "read_write" } },
});

const base: Launch<Tensor> = {
  ...{ kernel: kernel("k"), entry: "main", constants: { c: 1 }, params: { n: 4 }, workgroups: [1, 1, 1] },
  ...{ buffers: { x, y }, label: "a", flops: 0, operations: 0 },
};

const key = (changed: Partial<Launch<Tensor>> = {}) => launchKey({ ...base, ...changed }, ({ id }) => id);

Deno.test("launches are equal if they compute the same values, wherever they put them and whatever their label", () => {
  assert.equal(key({ label: "b" }), key());
  assert.equal(key({ buffers: { x, y: again } }), key());
});

const DIFFERENT: Record<string, Partial<Launch<Tensor>>> = {
  kernel: { kernel: kernel("l") },
  "entry point": { entry: "other" },
  constants: { constants: { c: 2 } },
  parameters: { params: { n: 5 } },
  workgroups: { workgroups: [2, 1, 1] },
  operand: { buffers: { x: other, y } },
  "size of the result": { buffers: { x, y: larger } },
};

for (const [what, changed] of Object.entries(DIFFERENT)) {
  Deno.test(`launches that differ in ${what} are not equal`, () => assert.notEqual(key(changed), key()));
}

Deno.test("launches share a pipeline whatever their shapes and operands", () => {
  const pipeline = (changed: Partial<Launch<Tensor>>) => pipelineKey({ ...base, ...changed });
  const { kernel, "entry point": entry, constants, ...others } = DIFFERENT;
  for (const changed of Object.values(others)) assert.equal(pipeline(changed), pipelineKey(base));
  for (const changed of [kernel, entry, constants]) assert.notEqual(pipeline(changed!), pipelineKey(base));
});
