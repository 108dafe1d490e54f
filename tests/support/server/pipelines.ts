/** Copies of the tiny pipeline of the golden tests, intact and damaged. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeSafetensors, encodeSafetensors } from "../../../lib/files/safetensors.ts";

/** A model of 8 x 8 pixels and three classes, written by Python's diffusers. */
export const PIPELINE = fileURLToPath(new URL("../../golden/tiny_pipeline", import.meta.url));

/** Path of its weights in the directory. */
export const WEIGHTS = "unet/diffusion_pytorch_model.safetensors";

/** Copies the pipeline and changes its weights. */
export async function changedPipeline(
  to: string,
  change: (name: string, data: Float32Array) => void,
): Promise<void> {
  await copyDirectory(PIPELINE, to);
  const path = join(to, WEIGHTS);
  const { tensors, metadata } = decodeSafetensors(await Deno.readFile(path), path);
  for (const [name, { data }] of tensors) {
    change(name, new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4));
  }
  await Deno.writeFile(path, encodeSafetensors(tensors, metadata));
}

/** Copies a directory recursively. */
export async function copyDirectory(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyDirectory(join(from, name), join(to, name));
    else await Deno.copyFile(join(from, name), join(to, name));
  }
}
