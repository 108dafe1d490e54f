/**
 * Training: Ho et al. 2020, algorithm 1, over a data set, with validation, samples and checkpoints after every epoch.
 *
 * @module
 */
import { type Gpu, openGpu } from "../gpu/device.ts";
import { checkPrecision, type Precision } from "../model/precision.ts";
import { loadLatestCheckpoint } from "../files/checkpoint.ts";
import { type DirectoryLock, lockDirectory } from "../files/directory_lock.ts";
import { publishNewest } from "../files/publish.ts";
import type { TrainEvent } from "./events.ts";
import { checkOptions, type TrainOptions } from "./options.ts";
import { checkOverflow } from "./device/overflow.ts";
import { Run } from "./run.ts";
import { checkRunDirectory } from "./run_directory.ts";
import { buildRun } from "./run_parts.ts";
import { planRun, type RunPlan } from "./run_plan.ts";
import { openRunTuning, runGraphs } from "./run_tuning.ts";
import { checkState } from "./state.ts";

export type { TrainOptions } from "./options.ts";

/**
 * Trains a network and tells what happens as it goes.
 *
 * The same settings, data and adapter give the same weights to the bit, whether the run was interrupted and resumed or
 * not; where adapter or kernels are others by then, a warning says so. Leaving the loop early (`break`) ends the run
 * without a save; use `signal` to end it with one.
 *
 * @throws {ConfigError} for a setting out of range
 * @throws {DeviceError} when there is no adapter, it cannot hold the network, or it is lost
 * @throws {CheckpointError} when nothing can be resumed or saved
 * @throws {TrainingError} when loss or gradients stop being finite, or another process uses `out`
 *
 * @example
 * ```ts ignore
 * for await (const event of train({ data: await cifar10(), preset: "small", epochs: 5, out: "runs/cats" })) {
 *   if (event.type === "epoch") console.log(event.epoch, event.trainLoss, event.valLoss);
 * }
 * ```
 */
export async function* train(options: TrainOptions): AsyncGenerator<TrainEvent, void, undefined> {
  checkOptions(options);
  const gpu = options.gpu ?? await openGpu();
  let lock: DirectoryLock | undefined;
  let run: Run | undefined;
  try {
    const { out, resume = false } = options;
    // Before the lock, which makes the directory: a mistake in the options leaves nothing behind.
    const plan = resume ? undefined : planRun(options, gpu.adapter.software);
    if (plan) await checkTrainingPrecision(gpu, plan.settings.precision);
    if (out !== undefined) {
      await checkRunDirectory(out, resume);
      lock = await lockDirectory(out);
    }
    run = yield* prepareRun(gpu, options, plan);
    yield* run.events();
  } finally {
    run?.destroy();
    lock?.release();
    if (!options.gpu) gpu.close();
  }
}

/**
 * Makes a run ready, kernels chosen.
 *
 * @param planned what will run; without it, what the newest checkpoint says that can be gone on from: its tensors are not
 *   kept once they are on the device
 */
async function* prepareRun(
  gpu: Gpu,
  options: TrainOptions,
  planned?: RunPlan,
): AsyncGenerator<TrainEvent, Run> {
  const warnings: string[] = [];
  const onWarning = (message: string) => void warnings.push(message);
  const { software } = gpu.adapter;
  const checkpoint = planned
    ? undefined
    : await loadLatestCheckpoint(options.out!, { onWarning, check: checkState });
  if (checkpoint && await publishNewest(options.out!)) {
    warnings.push(`the model in ${options.out} was older than its newest checkpoint, and is that one's now`);
  }
  const plan = planned ?? planRun(options, software, checkpoint);
  if (!planned) await checkTrainingPrecision(gpu, plan.settings.precision);
  const tuning = await openRunTuning(gpu, options, onWarning);
  for await (const progress of tuning.prepare(() => runGraphs(plan), options.signal)) {
    yield { type: "tuning", ...progress };
  }
  return new Run(await buildRun(gpu, options, plan, { tuning, checkpoint, warnings }));
}

async function checkTrainingPrecision(gpu: Gpu, precision: Precision): Promise<void> {
  checkPrecision(gpu, precision);
  if (precision === "float16") await checkOverflow(gpu);
}
