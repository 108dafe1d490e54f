/** Pipeline directories as other programs write them: without digests, with the configuration that a test needs. */
import { join } from "node:path";
import type { SafeTensor } from "../../lib/files/dtypes.ts";
import { encodeSafetensors } from "../../lib/files/safetensors.ts";
import { type UNetConfig, unetConfigToJson } from "../../lib/model/config.ts";
import { unetParameters } from "../../lib/model/network.ts";

/** Name of the weights in `unet/`. */
export const WEIGHTS_NAME = "diffusion_pytorch_model.safetensors";

/** Contents of a pipeline directory. */
export interface ForeignPipeline {
  readonly config: UNetConfig;
  /** Content of `scheduler_config.json`; null for none. Default: a DDPMScheduler without settings. */
  readonly scheduler?: object | null;
  /** Content of `model_index.json`; null for none. */
  readonly index?: object | null;
}

/** Seeded tensors of a network. */
export function foreignTensors(config: UNetConfig): Map<string, SafeTensor> {
  const table = unetParameters(config);
  return new Map(
    [...table.fromMemory(table.initialize(5))].map(([name, { shape, data }]): [string, SafeTensor] => [
      name,
      { dtype: "F32", shape: [...shape], data },
    ]),
  );
}

/** Writes a pipeline directory. */
export async function writeForeignPipeline(
  directory: string,
  { config, scheduler = { _class_name: "DDPMScheduler" }, index = { _class_name: "DDPMPipeline" } }:
    ForeignPipeline,
): Promise<void> {
  const json = async (path: string, value: object | null) => {
    if (value !== null) await Deno.writeTextFile(join(directory, path), JSON.stringify(value));
  };
  for (const part of ["unet", "scheduler"]) await Deno.mkdir(join(directory, part), { recursive: true });
  await json("model_index.json", index);
  await json("scheduler/scheduler_config.json", scheduler);
  await json("unet/config.json", unetConfigToJson(config));
  await Deno.writeFile(join(directory, "unet", WEIGHTS_NAME), encodeSafetensors(foreignTensors(config)));
}
