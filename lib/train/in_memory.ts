/**
 * Training without a directory: in a browser.
 *
 * @module
 */
import { openBrowserGpu } from "../gpu/browser.ts";
import { prepareMatrices } from "../model/precision.ts";
import { Tuning } from "../tuning/tuning.ts";
import { dataEvent } from "./data_event.ts";
import type { TrainEvent } from "./events.ts";
import { MEMORY_KEEPING } from "./memory_keeping.ts";
import { checkOptions, type TrainOptions } from "./options.ts";
import { Run } from "./run.ts";
import { buildRun } from "./run_parts.ts";
import { planRun } from "./run_plan.ts";
import { checkTrainingPrecision } from "./run_precision.ts";

/** Options of {@linkcode trainInMemory}: those of {@linkcode train} that need no files. */
export type MemoryTrainOptions = Omit<
  TrainOptions,
  | "classifier"
  | "evaluateEvery"
  | "evaluationSamples"
  | "init"
  | "out"
  | "resume"
  | "tune"
  | "tuningDirectory"
>;

/**
 * Trains a network as {@linkcode train} does, with the same steps, and yields the same events, but writes nothing: the model
 * comes with the `checkpoint` events, after each epoch, as files for {@linkcode DiffusionModel.fromFiles}. Leaving the loop
 * ends the run; `signal` ends it with its model.
 *
 * @throws {ConfigError} for a setting out of range
 * @throws {DeviceError} if there is no adapter, too little device memory, or the device is lost
 * @throws {TrainingError} if loss or gradients are not finite
 *
 * @example In a page
 * ```ts ignore
 * const data = await memoryDataset({ name: "mine", images, labels, classes, height: 32, width: 32 });
 * for await (const event of trainInMemory({ data, preset: "tiny", epochs: 20 })) {
 *   if (event.type === "step") console.log(event.step, event.loss);
 *   if (event.type === "checkpoint") files = event.model;
 * }
 * const model = await DiffusionModel.fromFiles(files);
 * ```
 */
export async function* trainInMemory(
  options: MemoryTrainOptions,
): AsyncGenerator<TrainEvent, void, undefined> {
  checkOptions(options);
  const gpu = options.gpu ?? await openBrowserGpu();
  let run: Run | undefined;
  try {
    const warnings: string[] = [];
    await prepareMatrices(gpu, options.precision, (message) => warnings.push(message));
    const plan = planRun(options, gpu.adapter);
    await checkTrainingPrecision(gpu, plan.settings.precision);
    yield dataEvent(options.data, plan);
    const given = { tuning: Tuning.of(gpu), warnings, keeping: MEMORY_KEEPING };
    run = new Run(await buildRun(gpu, options, plan, {}, given));
    yield* run.events();
  } finally {
    run?.destroy();
    if (!options.gpu) gpu.close();
  }
}
