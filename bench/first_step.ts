/**
 * Time from process start to the end of the first training step.
 *
 * @module
 */
import { DeviceError } from "../lib/errors.ts";
import { describeEnd } from "../lib/process.ts";
import type { Precision } from "../lib/model/precision.ts";
import type { TuneMode } from "../lib/tuning/tuning.ts";
import { openTuning } from "../lib/tuning/tuning_file.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { buildTrainer } from "./training.ts";
import { type MeasuredNetwork, measuredNetwork, modelConfig } from "./models.ts";

/** A row of the table of first steps. */
export interface FirstStepRow extends MeasuredNetwork {
  readonly batch: number;
  /** Seconds without the driver's shader cache and without saved tuning. */
  readonly coldSeconds: number;
  /** Seconds with both. */
  readonly warmSeconds: number;
  /** Likewise with every choice tuned; absent on adapters that are not tuned. */
  readonly tuned?: Pick<FirstStepRow, "coldSeconds" | "warmSeconds">;
}

/** Disables the shader caches on disk of Mesa and NVIDIA's driver. */
const WITHOUT_CACHE = { MESA_SHADER_CACHE_DISABLE: "true", __GL_SHADER_DISK_CACHE: "0" };

/** Measures a network's first step, cold and warm. */
export async function measureFirstStep(
  model: string,
  batch: number,
  tune: TuneMode = "auto",
  precision: Precision = "float32",
): Promise<FirstStepRow> {
  const directory = await Deno.makeTempDir({ prefix: "denoise-tuning-" });
  try {
    const args = [model, String(batch), tune, directory, precision];
    const coldSeconds = await runProcess(args, WITHOUT_CACHE);
    await runProcess(args, {});
    const warmSeconds = await runProcess(args, {});
    const row = { ...measuredNetwork(model, precision), batch, coldSeconds, warmSeconds };
    // A process that may not tune leaves the directory empty, and so has nothing to complete.
    if (await isEmpty(directory)) return row;
    await runProcess([model, String(batch), "on", directory, precision], {});
    const tuned = {
      coldSeconds: await runProcess(args, WITHOUT_CACHE),
      warmSeconds: await runProcess(args, {}),
    };
    return { ...row, tuned };
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function isEmpty(directory: string): Promise<boolean> {
  return (await Array.fromAsync(Deno.readDir(directory))).length === 0;
}

/** Seconds from process start to the end of the first step. */
async function runProcess(args: readonly string[], env: Record<string, string>): Promise<number> {
  const start = Date.now();
  const { stdout, stderr, ...status } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", import.meta.url, ...args],
    env,
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder().decode(stdout);
  // The exit status does not count: software drivers may abort at exit.
  const ended = Number(/^first step ended at (\d+)$/m.exec(text)?.[1] ?? NaN);
  if (Number.isNaN(ended)) {
    const [why = ""] = new TextDecoder().decode(stderr).trim().split("\n").slice(-1);
    throw new DeviceError(`the process of the first step ${describeEnd(status, why)}`);
  }
  return (ended - start) / 1000;
}

if (import.meta.main) {
  const [model = "", batch, tune, tuningDirectory, precision] = Deno.args;
  const gpu = await openTaskGpu();
  const tuning = await openTuning(gpu, { tune: tune as TuneMode, tuningDirectory }, console.warn);
  const trainer = await buildTrainer(gpu, modelConfig(model), Number(batch), tuning, precision as Precision);
  await trainer.work(1);
  await gpu.device.queue.onSubmittedWorkDone();
  void gpu.device;
  console.log(`first step ended at ${Date.now()}`);
  trainer.destroy();
  gpu.close();
}
