/** The network of the golden pipeline with another scheduler configuration. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { testGpu } from "./gpu.ts";
import { inTemporaryDirectory } from "./train/directories.ts";

const PIPELINE = fileURLToPath(new URL("../golden/tiny_pipeline", import.meta.url));

/** Draws with the network of the tiny pipeline and a scheduler configuration. */
export async function withScheduler(
  scheduler: Record<string, unknown> | undefined,
  body: (model: DDPM) => Promise<void>,
): Promise<void> {
  await inTemporaryDirectory(async (directory) => {
    for (const part of ["unet", "scheduler"]) await Deno.mkdir(join(directory, part));
    const files = ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"];
    for (const name of [...files, "scheduler/scheduler_config.json"]) {
      await Deno.copyFile(join(PIPELINE, name), join(directory, name));
    }
    if (scheduler) {
      const path = join(directory, "scheduler/scheduler_config.json");
      await Deno.writeTextFile(path, JSON.stringify(scheduler));
    }
    const model = await DDPM.load(directory, { gpu: await testGpu(), onWarning() {} });
    await body(model);
    await model.close();
  });
}
