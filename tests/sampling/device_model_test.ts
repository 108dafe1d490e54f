import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { openGpu } from "../../lib/gpu/device.ts";
import { DeviceModel } from "../../lib/sampling/device_model.ts";

const PIPELINE = fileURLToPath(new URL("../golden/tiny_pipeline", import.meta.url));

Deno.test("where the guide does not fit into memory, the model's own weights are freed", async () => {
  const unlimited = await openGpu();
  const model = await DeviceModel.load(PIPELINE, { gpu: unlimited });
  const bytes = unlimited.memory.used;
  model.destroy();
  unlimited.close();
  const gpu = await openGpu({ memoryBudget: 1.5 * bytes });
  try {
    await assert.rejects(
      DeviceModel.load(PIPELINE, { gpu, guide: PIPELINE }),
      /^DeviceError: model tiny_pipeline, weights of the guide needs .* of device memory/,
    );
    assert.deepEqual([gpu.memory.live, gpu.memory.used], [0, 0]);
  } finally {
    gpu.close();
  }
});
