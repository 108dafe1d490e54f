import assert from "node:assert/strict";
import { SlotBatch } from "../../lib/sampling/slot_batch.ts";
import { createBuffer, destroyBuffer } from "../../lib/gpu/memory.ts";
import { forwardPass, unetParameters } from "../../lib/model/network.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { testGpu } from "../support/gpu.ts";

Deno.test("batch sizes share one memory: the smaller ones take little of their own", async () => {
  const gpu = await testGpu();
  const before = gpu.memory.used;
  const config = presetConfig("tiny", 10);
  const weights = createBuffer(gpu, 4 * unetParameters(config).elements, "weights");
  const bytesOf = async (rows: readonly number[]): Promise<number> => {
    const used = gpu.memory.used;
    const batch = await SlotBatch.build(gpu, { config, weights, slots: 8, rows });
    const bytes = gpu.memory.used - used;
    batch.destroy();
    return bytes;
  };
  const alone = forwardPass(gpu, config, 4, weights, "a pass of four rows");
  const activations = alone.bytes;
  alone.destroy();
  const [largest, both] = [await bytesOf([8]), await bytesOf([4, 8])];
  assert.ok(both - largest < activations / 2, `${both - largest} bytes more, ${activations} of its own`);
  destroyBuffer(gpu, weights);
  assert.equal(gpu.memory.used, before);
});
