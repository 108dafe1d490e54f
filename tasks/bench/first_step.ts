/**
 * How long it takes from nothing to the end of the first training step, in a process of its own.
 *
 * @module
 */
import { DeviceError } from "../../lib/errors.ts";
import { openTaskGpu } from "../gpu.ts";
import { buildTrainer, modelConfig } from "./models.ts";

/** A line of the table of first steps. */
export interface FirstStepRow {
  readonly model: string;
  readonly batch: number;
  /** Seconds with the driver's cache of compiled kernels switched off. */
  readonly coldSeconds: number;
  /** Seconds with that cache filled by an earlier run. */
  readonly warmSeconds: number;
}

/** Switches off the caches on disk of Mesa and of NVIDIA's driver. */
const WITHOUT_CACHE = { MESA_SHADER_CACHE_DISABLE: "true", __GL_SHADER_DISK_CACHE: "0" };

/** Measures a model's first step, cold and warm. */
export async function measureFirstStep(model: string, batch: number): Promise<FirstStepRow> {
  const coldSeconds = await runProcess(model, batch, WITHOUT_CACHE);
  await runProcess(model, batch, {});
  const warmSeconds = await runProcess(model, batch, {});
  return { model, batch, coldSeconds, warmSeconds };
}

/** Seconds from the process's start to the end of its first step. */
async function runProcess(model: string, batch: number, env: Record<string, string>): Promise<number> {
  const start = Date.now();
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", import.meta.url, model, String(batch)],
    env,
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder().decode(stdout);
  // The line counts, not the exit: a software driver may abort while the process ends.
  const ended = Number(/^first step ended at (\d+)$/m.exec(text)?.[1] ?? NaN);
  if (Number.isNaN(ended)) {
    const why = new TextDecoder().decode(stderr).trim().split("\n").at(-1);
    throw new DeviceError(`the process that was to take the first step ended with ${code}: ${why}`);
  }
  return (ended - start) / 1000;
}

if (import.meta.main) {
  const [model, batch] = Deno.args;
  const gpu = await openTaskGpu();
  const trainer = await buildTrainer(gpu, modelConfig(model), Number(batch));
  await trainer.work(1);
  await gpu.device.queue.onSubmittedWorkDone();
  void gpu.device;
  console.log(`first step ended at ${Date.now()}`);
  trainer.destroy();
  gpu.close();
}
