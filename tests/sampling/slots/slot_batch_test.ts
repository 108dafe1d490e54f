import assert from "node:assert/strict";
import { planSampling } from "../../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { SlotBatch } from "../../../lib/sampling/slots/slot_batch.ts";
import { createBuffer, destroyBuffer } from "../../../lib/gpu/memory.ts";
import { setReplayer } from "../../../lib/gpu/program.ts";
import { forwardPass, unetParameters } from "../../../lib/model/network.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import { testGpu } from "../../support/gpu.ts";

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

Deno.test("guidance is rescaled only in steps in which a slot asks for it", async () => {
  const gpu = await testGpu();
  const config = presetConfig("tiny", 10);
  const weights = createBuffer(gpu, 4 * unetParameters(config).elements, "weights");
  const batch = await SlotBatch.build(gpu, { config, weights, slots: 2, rows: [4] });
  const [coefficients] = planSampling("ddim", new NoiseSchedule(), { steps: 2 });
  const kernelsOf = (guidanceRescale: number | undefined) => {
    const slot = { label: 1, seed: 1, step: 0, coefficients: coefficients! };
    const kernels: string[] = [];
    setReplayer(gpu, (programs) => {
      kernels.push(...programs.flatMap(({ dispatches }) => dispatches.map(({ kernel }) => kernel)));
      return true;
    });
    try {
      batch.step([{ ...slot, guidance: 1 }, { ...slot, guidance: 2, guidanceRescale }]);
    } finally {
      setReplayer(gpu, undefined);
    }
    return kernels;
  };
  const plain = kernelsOf(undefined);
  const rescaled = kernelsOf(0.5);
  const name = "guidance_rescale.guidance_rescale";
  assert.ok(plain.length > 0 && !plain.includes(name));
  assert.deepEqual(rescaled.filter((kernel) => kernel !== name), plain);
  assert.deepEqual(rescaled.slice(-2), [name, plain.at(-1)]);
  batch.destroy();
  destroyBuffer(gpu, weights);
});
