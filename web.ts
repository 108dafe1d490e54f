/**
 * The part of this package that runs in browsers with WebGPU: drawing with a trained model, step
 * by step, and training on pictures in memory.
 *
 * `deno task bundle:web` makes one JavaScript module of it. Pages need https or localhost, as WebGPU does.
 *
 * @example Draw a cat in a page, beside which a model's directory lies
 * ```ts ignore
 * import { DiffusionModel, fetchModelFiles } from "./denoise.js";
 *
 * const model = await DiffusionModel.fromFiles(await fetchModelFiles("model/"));
 * const images = await model.generate({ class: "cat", seed: 7 });
 * document.querySelector("img").src = URL.createObjectURL(new Blob([await images.png()], { type: "image/png" }));
 * ```
 *
 * @module
 */
export {
  CheckpointError,
  ConfigError,
  DataError,
  DenoiseError,
  DeviceError,
  ShapeError,
  TrainingError,
} from "./lib/errors.ts";

export { openBrowserGpu } from "./lib/gpu/browser.ts";
export { type FetchFilesOptions, fetchModelFiles, type FetchProgress } from "./lib/remote/fetch_files.ts";
export type { ModelFiles } from "./lib/files/pipeline_files.ts";
export { DiffusionModel, type GeneratedStep, type Trajectory } from "./lib/sampling/diffusion_model.ts";
export { type GridOptions, type ImageMetadata, Images } from "./lib/image/images.ts";
export { type MemoryTrainOptions, trainInMemory } from "./lib/train/in_memory.ts";
export { memoryDataset } from "./lib/data/dataset_parts.ts";
export { toImageData } from "./lib/image/image_data.ts";
export type { DenoisingPass, NoisedImage } from "./lib/sampling/denoising_pass.ts";
export type { AdapterDescription, DeviceOptions, Gpu } from "./lib/gpu/device.ts";
export type { DrawPlan, GenerateOptions } from "./lib/sampling/request.ts";
export type { JupyterMedia } from "./lib/image/jupyter.ts";
export {
  type PlannedStep,
  type SamplerChoice,
  type SamplerName,
  samplerNames,
  type SamplerSettings,
  type SamplerStep,
  type SpacingName,
} from "./lib/diffusion/sampler.ts";
export type { Precision } from "./lib/model/precision.ts";
export type { BatchPicture, BatchTurn, RunningBatch } from "./lib/sampling/running_batch.ts";
export type { KnownImage, SlotImage } from "./lib/sampling/slot_image.ts";
export type { TrainedProcess } from "./lib/diffusion/trained_process.ts";
export type {
  DownBlockType,
  Resampling,
  TimeEmbeddingType,
  TimeScaleShift,
  UNetConfig,
  UpBlockType,
} from "./lib/model/config.ts";
export type { Activation } from "./kernels/activation_source.ts";
export type { ClassChoice } from "./lib/sampling/class_choice.ts";
export type { DenoisingError } from "./kernels/records/evaluation.ts";
export type { EdmProcess } from "./lib/diffusion/edm_process.ts";
export type {
  ForwardProcess,
  NoiseLevel,
  Objective,
  Target,
  TimeAxis,
} from "./lib/diffusion/forward_process.ts";
export type {
  ClassMixture,
  Guidance,
  Guided,
  SigmaInterval,
  WeightedLabel,
} from "./lib/diffusion/guidance.ts";
export type { CompleteEdit, ImageEdit } from "./lib/sampling/edits/image_edit.ts";
export type { FrameRequest, ImageJob } from "./lib/sampling/image_job.ts";
export type { MemoryBudget } from "./lib/gpu/budget.ts";
export type {
  BetaParameters,
  BetaSchedule,
  NoiseSchedule,
  ScheduleConfig,
  ScheduleObjective,
  TimestepSpacing,
  VarianceType,
} from "./lib/diffusion/schedule.ts";
export type { ComputePipeline, PipelineCache } from "./lib/gpu/pipeline.ts";
export type { FlowTimes, RectifiedFlow } from "./lib/diffusion/rectified_flow.ts";
export type { SubgroupDirective } from "./lib/gpu/wgsl.ts";
export type { Backend, DawnToggle } from "./lib/gpu/backend.ts";
export type { KernelBinding, KernelSource, OverrideConstants } from "./kernels/source.ts";
export type { MatrixShape, MatrixUnits } from "./kernels/target.ts";
export type { SigmaSpacing, TimeSpacing } from "./lib/diffusion/spacing.ts";
export type { ScalarType } from "./kernels/struct.ts";
export type { ImageDataset, ImageDatasetParts } from "./lib/data/dataset.ts";
export type {
  BestModel,
  CheckpointEvent,
  ClassImages,
  DataEvent,
  EndEvent,
  EpochEvent,
  EpochRecord,
  EvaluationEvent,
  EvaluationProgressEvent,
  NoteEvent,
  SampleMeasures,
  SamplesEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
  TuningEvent,
  ValidationEvent,
  WarningEvent,
} from "./lib/train/events.ts";
export type { TrainOptions } from "./lib/train/trainer.ts";
export type { ImageFileOptions, OnBadFile } from "./lib/data/image_options.ts";
export type { ImageFileSummary } from "./lib/data/summary.ts";
export type { ImageReader, ImageStore } from "./lib/data/image_store.ts";
export type { GridSettings, RunEnvironment } from "./lib/train/options.ts";
export type { SettingsOptions, TrainSettings } from "./lib/train/settings.ts";
export type { Colour, Fit } from "./lib/data/decode/framing.ts";
export type { DenoisingLoss } from "./lib/evaluation/likelihood_result.ts";
export type { ImageTrait } from "./lib/data/decode/decode.ts";
export type { PresetName } from "./lib/model/presets.ts";
export type { TuneMode, TuningOptions, TuningProgress } from "./lib/tuning/tuning.ts";
export type { CheckpointSettings } from "./lib/train/checkpoint_settings.ts";
export type { LengthSettings } from "./lib/train/length_settings.ts";
export type { ObjectiveSettings } from "./lib/train/objective_settings.ts";
export type { OptimizerSettings } from "./lib/train/optimizer_settings.ts";
export type { RecipeName } from "./lib/train/recipes.ts";
export type { LossWeighting } from "./lib/diffusion/objective.ts";
export type { LrSchedule } from "./lib/train/lr_schedule.ts";
