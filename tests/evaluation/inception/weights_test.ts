import assert from "node:assert/strict";
import { inceptionParameters } from "../../../lib/evaluation/inception/network.ts";
import { inceptionWeights } from "../../../lib/evaluation/inception/weights.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import type { SafeTensor } from "../../../lib/files/dtypes.ts";
import { goldenStateDict } from "../../golden/inception.ts";
import { assertClose } from "../../support/close.ts";

const table = inceptionParameters({ side: 75, divisor: 16 });
type Tensors = Map<string, SafeTensor<ArrayBuffer>>;

const floats = (...data: number[]): SafeTensor<ArrayBuffer> => ({
  dtype: "F32",
  shape: [data.length],
  data: Float32Array.from(data),
});

Deno.test("a batch norm is part of the convolution before it, and logits have no bias", () => {
  const tensors = goldenStateDict("folding", table);
  const layer = "Mixed_6b.branch7x7_2";
  const weight = tensors.get(`${layer}.conv.weight`)!.data as Float32Array;
  const ofChannel = (values: Float32Array) => values.slice(8 * 7, 2 * 8 * 7); // 8 inputs, 7 taps
  for (
    const [name, value] of [["weight", 3], ["bias", 0.5], ["running_mean", 2], ["running_var", 0.24]] as const
  ) {
    const all = new Array(8).fill(name === "running_var" ? 1 : 0);
    all[1] = value;
    tensors.set(`${layer}.bn.${name}`, floats(...all));
  }
  const memory = table.fromMemory(inceptionWeights(tensors, table, "weights"));
  const scale = 3 / Math.sqrt(0.241);
  const folded = ofChannel(memory.get(`${layer}.conv.weight`)!.data);
  assertClose(folded, ofChannel(weight).map((w) => scale * w), { absolute: 1e-6 }, "weight");
  const bias = memory.get(`${layer}.conv.bias`)!.data;
  assertClose(bias, [0, 0.5 - 2 * scale, 0, 0, 0, 0, 0, 0], { absolute: 1e-5 }, "bias");
  assert.ok(memory.get("fc.bias")!.data.every((value) => value === 0));
});

Deno.test("tensors of the state dict that features do not depend on may be there", () => {
  const tensors = goldenStateDict("folding", table);
  const before = inceptionWeights(tensors, table, "weights");
  for (const name of ["fc.bias", "AuxLogits.conv0.bn.weight", "Mixed_5b.branch1x1.bn.num_batches_tracked"]) {
    tensors.set(name, floats(1));
  }
  assert.deepEqual(inceptionWeights(tensors, table, "weights"), before);
});

const faults: [name: string, message: string, change: (tensors: Tensors) => void][] = [
  [
    "a norm is missing",
    "tensor Conv2d_1a_3x3.bn.running_var is missing",
    (tensors) => tensors.delete("Conv2d_1a_3x3.bn.running_var"),
  ],
  [
    "weights are those of ImageNet's classes",
    "tensor fc.weight has shape [1000,128], the network needs [63,128]",
    (tensors) =>
      tensors.set("fc.weight", { dtype: "F32", shape: [1000, 128], data: new Float32Array(128000) }),
  ],
  [
    "a tensor is left over",
    "tensor conv_in.weight does not belong to this network",
    (tensors) => tensors.set("conv_in.weight", floats(1)),
  ],
  [
    "weights are integers",
    "tensor fc.weight: expected dtype F32, F16, BF16 or F64, got I32",
    (tensors) => tensors.set("fc.weight", { dtype: "I32", shape: [63, 128], data: new Int32Array(63 * 128) }),
  ],
];
for (const [name, message, change] of faults) {
  Deno.test(`refused, naming file and tensor: ${name}`, () => {
    const tensors = goldenStateDict("faults", table);
    change(tensors);
    assert.throws(() => inceptionWeights(tensors, table, "weights.pth"), (error) => {
      assert.ok(error instanceof CheckpointError);
      assert.ok(error.message.startsWith(`weights.pth: ${message}`), error.message);
      return true;
    });
  });
}
