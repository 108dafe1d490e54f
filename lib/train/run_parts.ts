/**
 * Allocation of a run's device memory and files before its first step.
 *
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import { ResourceScope } from "../gpu/memory.ts";
import { fitMemory } from "../graph/compile.ts";
import { unetParameters } from "../model/network.ts";
import { dataEvent } from "./data_event.ts";
import { describeChange } from "./device/computation.ts";
import { evaluates, whyNotEvaluated } from "./evaluation_schedule.ts";
import { describeNewClasses, initialWeights } from "./initial_model.ts";
import { objectiveOf } from "./objective_settings.ts";
import type { TrainOptions } from "./options.ts";
import type { DeviceImages } from "./device/device_images.ts";
import { fitImages, type ImagesOn } from "./run_images.ts";
import { describeLengthChange, type RunOrigin, type RunPlan } from "./run_plan.ts";
import type { KeptLog, RunEvaluator, RunKeeping, RunSaves } from "./run_keeping.ts";
import { describePrecisionChange } from "./run_precision.ts";
import { drawsGrids, drawsSamples, SampleGrid } from "./sample_grid.ts";
import { readTrainer, writeLossScale } from "./state.ts";
import { initializeWeights, restoreWeights, stagingFor, writeInitialWeights } from "./weight_transfer.ts";
import { TrainingStep } from "./device/step.ts";
import { rankOptions, sharedBy } from "./rank_settings.ts";
import { RunRanks } from "./run_ranks.ts";
import type { Tuning } from "../tuning/tuning.ts";

/** Everything that a run works with. */
export interface RunParts {
  readonly gpu: Gpu;
  readonly options: TrainOptions;
  readonly plan: RunPlan;
  /** Owns the device memory. */
  readonly scope: ResourceScope;
  readonly images: DeviceImages;
  readonly imagesOn: ImagesOn;
  readonly step: TrainingStep;
  /** Undefined if no grids are drawn. */
  readonly grid: SampleGrid | undefined;
  /** Undefined if the run is not evaluated. */
  readonly evaluation: RunEvaluator | undefined;
  readonly staging: GPUBuffer;
  /** Undefined if this process computes the run alone. */
  readonly ranks: RunRanks | undefined;
  /** Undefined if nothing is written. */
  readonly checkpoints: RunSaves | undefined;
  /** Undefined if nothing is written. */
  readonly metrics: KeptLog | undefined;
  /** Warnings and notes not yet passed to the caller. */
  readonly warnings: string[];
  readonly notes: string[];
}

/**
 * Allocates all the device memory that a run will need, so that a lack of memory is reported now and not after hours.
 *
 * @param origin of the weights
 * @param given kernels to use, warnings so far, and what keeps the run
 * @throws {DeviceError} if the device has too little memory
 * @throws {CheckpointError} if the run directory cannot be written
 */
export function buildRun(
  gpu: Gpu,
  options: TrainOptions,
  plan: RunPlan,
  { checkpoint, initial }: RunOrigin,
  given: { tuning: Tuning; warnings: string[]; keeping: RunKeeping },
): Promise<RunParts> {
  const { settings, progress } = plan;
  const communicator = sharedBy(options);
  const { tuning, warnings, keeping } = given;
  const notes: string[] = [];
  const scope = new ResourceScope(gpu, "training");
  return scope.guard(async () => {
    const objective = objectiveOf(settings);
    const stepOptions = {
      ...settings,
      config: settings.model,
      microBatches: settings.accumulate,
      profiles: settings.emaProfiles?.length ?? 0,
      labelDropout: settings.model.numClassEmbeds === null ? 0 : settings.labelDropout,
      ...objective.constants,
      stopAtNonFinite: settings.onNonFinite === "stop",
      ...communicator ? rankOptions(communicator, settings.accumulate) : {},
    };
    // Before the images and the step, which take memory for speed where there is some left.
    const table = unetParameters(settings.model, settings.precision, settings.augment > 0);
    const staging = stagingFor(gpu, scope, table.elements);
    const buildOn = (images: DeviceImages) =>
      fitMemory(tuning.target, (target) => {
        const graphs = new ResourceScope(gpu, "training");
        return graphs.guard(async () => {
          const step = graphs.own(
            await TrainingStep.build(gpu, { ...stepOptions, target }, objective.levels, images),
          );
          const ema = step.weights.ema.buffer;
          const drawing = drawsSamples(plan)
            ? graphs.own(await SampleGrid.build(gpu, plan, ema, options, target))
            : undefined;
          const evaluation = evaluates(plan)
            ? graphs.own(await keeping.buildEvaluation(gpu, plan, ema, options, drawing, target))
            : undefined;
          return { graphs, step, grid: drawsGrids(plan) ? drawing : undefined, evaluation };
        });
      });
    const { imagesOn = "auto" } = options;
    const fitted = await fitImages(gpu, options.data, plan, imagesOn, buildOn);
    const { graphs, step, grid, evaluation } = fitted.built;
    const images = scope.own(fitted.images);
    scope.own(graphs);
    const ranks = communicator && new RunRanks(gpu, scope, step, communicator, settings.accumulate);
    await ranks?.checkIdentity(plan, options.data);
    if (plan.grids.evaluateEvery > 0 && !evaluation) {
      warnings.push(`no evaluations: ${whyNotEvaluated(plan)}`);
    }
    const classes = options.data.classes.length;
    if (grid && grid.labels.length > 0 && grid.labels.length < classes) {
      notes.push(`sample grids show ${grid.labels.length} of the ${classes} classes`);
    }
    await keeping.saveTuning(gpu, options, tuning);
    if (checkpoint) {
      restoreWeights(gpu, step, checkpoint);
      const { settings: stored, storedPrecision, computation } = readTrainer(checkpoint);
      // Another precision implies other kernels: one warning is enough.
      const change = describePrecisionChange(storedPrecision, settings.precision) ??
        describeChange(computation, { adapter: gpu.adapter.name, kernels: step.kernels });
      const changes = [change, describeLengthChange(plan, stored)].filter((each) => each !== undefined);
      if (progress.step < plan.totalSteps) warnings.push(...changes);
    } else if (initial) {
      const { classes } = options.data;
      const { flat, newClasses } = initialWeights(initial, step.table, classes, settings.seed);
      writeInitialWeights(gpu, step.weights, flat);
      const change = describeNewClasses(initial, newClasses, classes);
      if (change !== undefined) warnings.push(change);
    } else initializeWeights(gpu, step, settings.seed);
    writeLossScale(gpu, step, settings, progress);
    const metrics = await keeping.openLog(options, plan, warnings);
    await metrics?.append(dataEvent(options.data, plan));
    evaluation?.resumeFrom(metrics?.lastEvaluation);
    const placed = { images, imagesOn: fitted.imagesOn };
    const parts = {
      gpu,
      options,
      plan,
      scope,
      ...placed,
      step,
      grid,
      evaluation,
      staging,
      ranks,
      metrics,
      warnings,
      notes,
    };
    return { ...parts, checkpoints: await keeping.openSaves(parts, checkpoint?.path) };
  });
}
