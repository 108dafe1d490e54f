/**
 * Entry point of training: Ho et al. 2020, algorithm 1, with validation, sample grids and checkpoints.
 *
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { openGpu } from "../gpu/open.ts";
import { loadLatestCheckpoint } from "../files/checkpoint.ts";
import { type DirectoryLock, lockDirectory } from "../files/directory_lock.ts";
import { publishNewest } from "../files/publish.ts";
import { prepareMatrices } from "../model/precision.ts";
import { dataEvent } from "./data_event.ts";
import { DIRECTORY_KEEPING } from "./directory_keeping.ts";
import type { TrainEvent } from "./events.ts";
import type { InitialModel } from "./initial_model.ts";
import { readInitialModel } from "./read_initial_model.ts";
import { checkOptions, type TrainOptions } from "./options.ts";
import { Run } from "./run.ts";
import { checkRunDirectory } from "./run_directory.ts";
import { buildRun } from "./run_parts.ts";
import { planRun, type RunPlan } from "./run_plan.ts";
import { checkRanks, follows, sharedBy } from "./rank_settings.ts";
import { followingPlan } from "./run_ranks.ts";
import { gatherJson } from "../mpi/communicator.ts";
import { Tuning } from "../tuning/tuning.ts";
import { checkResumedPrecision, checkTrainingPrecision } from "./run_precision.ts";
import { graphRuns, openRunTuning, runGraphs } from "./run_tuning.ts";
import { checkState, readTrainer } from "./state.ts";

export type { TrainOptions } from "./options.ts";

/**
 * Trains a network, and yields events as it goes.
 *
 * The same settings, data and adapter give bit-identical weights, whether the run was interrupted and resumed or not; a
 * warning says so if the adapter or kernels have changed on resume. Leaving the loop early (`break`) ends the run without
 * saving; use `signal` to save first.
 *
 * @throws {ConfigError} for a setting out of range
 * @throws {DeviceError} if there is no adapter, too little device memory, or the device is lost
 * @throws {CheckpointError} if the run cannot be resumed or saved
 * @throws {TrainingError} if loss or gradients are not finite, or another process uses `out`
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
    const warnings: string[] = [];
    if (!resume) await prepareMatrices(gpu, options.precision, (message) => warnings.push(message));
    // Planned before the lock, which creates the directory: invalid options leave nothing behind.
    const initial = options.init === undefined
      ? undefined
      : await readInitialModel(options.init, (message) => warnings.push(message));
    const following = follows(options);
    const plan = resume ? undefined : planRun(options, gpu.adapter, { initial });
    if (plan) await checkTrainingPrecision(gpu, plan.settings.precision);
    if (out !== undefined && !following) {
      await checkRunDirectory(out, resume);
      lock = await lockDirectory(out);
    }
    run = yield* prepareRun(gpu, options, warnings, plan && { plan, initial });
    yield* run.events();
  } finally {
    run?.destroy();
    lock?.release();
    if (!options.gpu) gpu.close();
  }
}

/**
 * Loads, plans, tunes and allocates a run.
 *
 * @param warnings so far, to which more are added
 * @param planned plan of a new run, and the model that it starts from, if any; without it, the run is resumed from its newest
 *   usable checkpoint, whose tensors are freed once they are on the device
 */
async function* prepareRun(
  gpu: Gpu,
  options: TrainOptions,
  warnings: string[],
  planned?: { plan: RunPlan; initial: InitialModel | undefined },
): AsyncGenerator<TrainEvent, Run> {
  const onWarning = (message: string) => void warnings.push(message);
  const checkpoint = planned
    ? undefined
    : await loadLatestCheckpoint(options.out!, { onWarning, check: checkState });
  if (checkpoint && !follows(options) && await publishNewest(options.out!)) {
    warnings.push(
      `the model in ${options.out} was older than its newest checkpoint, and has been updated from it`,
    );
  }
  const plan = planned?.plan ?? planRun(options, gpu.adapter, { checkpoint });
  if (checkpoint) {
    await prepareMatrices(gpu, plan.settings.precision, onWarning);
    const { storedPrecision } = readTrainer(checkpoint);
    checkResumedPrecision(options.out!, gpu.adapter, { ...plan, storedPrecision }, options);
    await checkTrainingPrecision(gpu, plan.settings.precision);
  }
  checkRanks(options.communicator, plan.settings);
  yield dataEvent(options.data, plan);
  const origin = { checkpoint, initial: planned?.initial };
  const communicator = sharedBy(options);
  if (follows(options)) {
    const choices = await gatherJson<[string, string][]>(communicator!, []);
    const tuning = Tuning.of(gpu, new Map(choices[0]));
    const given = { tuning, warnings, keeping: DIRECTORY_KEEPING };
    return new Run(await buildRun(gpu, { ...options, out: undefined }, followingPlan(plan), origin, given));
  }
  const tuning = await openRunTuning(gpu, options, onWarning);
  const { signal } = options;
  for await (const progress of tuning.prepare(() => runGraphs(plan), { runs: graphRuns(plan), signal })) {
    yield { type: "tuning", ...progress };
  }
  // Variants round differently, so that all ranks take those of rank 0.
  if (communicator) await gatherJson(communicator, [...tuning.choices]);
  return new Run(
    await buildRun(gpu, options, plan, origin, { tuning, warnings, keeping: DIRECTORY_KEEPING }),
  );
}
