/** A pipeline that Python's diffusers wrote, with what it made of it in `expected.json`; see golden/pipeline.py. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { testGpu } from "./gpu.ts";

/** Its directory. */
export const PIPELINE: string = fileURLToPath(new URL("../golden/tiny_pipeline", import.meta.url));

/** Its weights, from its directory. */
export const WEIGHTS = "unet/diffusion_pytorch_model.safetensors";

/** Loads it, or the model of another directory, on the tests' device, and checks that nothing of it stays there. */
export async function withModel(body: (model: DDPM) => Promise<void>, directory = PIPELINE): Promise<void> {
  const gpu = await testGpu();
  const before = [gpu.memory.live, gpu.memory.used];
  const model = await DDPM.load(directory, { gpu });
  await body(model);
  await model.close();
  assert.deepEqual([gpu.memory.live, gpu.memory.used], before, "a closed model leaves nothing on the device");
}
