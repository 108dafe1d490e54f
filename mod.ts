/**
 * Train and sample denoising diffusion probabilistic models (DDPM, Ho et al. 2020) in Deno, on WebGPU with custom WGSL
 * kernels.
 *
 * Training and sampling need a WebGPU adapter: a GPU, or a software adapter such as Mesa's llvmpipe. Models are saved as
 * pipeline directories that Python's diffusers can load.
 *
 * @example Train on CIFAR-10, then draw cats
 * ```ts ignore
 * import { cifar10, DDPM, train } from "@denoise/ddpm";
 *
 * for await (const event of train({ data: await cifar10(), preset: "small", epochs: 5, out: "runs/cats" })) {
 *   if (event.type === "epoch") console.log(event.epoch, event.trainLoss, event.valLoss);
 * }
 * const model = await DDPM.load("runs/cats");
 * const images = await model.generate({ class: "cat", count: 16, steps: 20, guidance: 2, seed: 7 });
 * await Deno.writeFile("cats.png", await images.grid().png());
 * ```
 *
 * @example Small enough for a test: four grey images, a network of a few thousand parameters, two epochs
 * ```ts
 * import assert from "node:assert/strict";
 * import { DDPM, imageDataset, train, unetConfig } from "@denoise/ddpm";
 *
 * const images = Uint8Array.from({ length: 4 * 8 * 8 * 3 }, (_, i) => 60 * Math.floor(i / 192));
 * const labels = Uint8Array.of(0, 0, 1, 1);
 * const data = imageDataset({ name: "greys", images, labels, classes: ["dark", "light"], height: 8, width: 8 });
 * const model = unetConfig({
 *   sampleSize: 8,
 *   blockOutChannels: [8],
 *   downBlockTypes: ["DownBlock2D"],
 *   upBlockTypes: ["UpBlock2D"],
 *   layersPerBlock: 1,
 *   normNumGroups: 4,
 * });
 * const out = await Deno.makeTempDir();
 * const losses: number[] = [];
 * for await (const event of train({ data, model, batch: 2, epochs: 2, sampleEvery: 0, out })) {
 *   if (event.type === "epoch") losses.push(event.trainLoss);
 * }
 * assert.equal(losses.length, 2);
 * const ddpm = await DDPM.load(out);
 * const drawn = await ddpm.generate({ class: "light", count: 3, steps: 5, seed: 1 });
 * assert.deepEqual([drawn.count, drawn.height, drawn.width], [3, 8, 8]);
 * await ddpm.close();
 * await Deno.remove(out, { recursive: true });
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

export type { AdapterDescription, DeviceOptions, Gpu, GpuOptions } from "./lib/gpu/device.ts";
export { openGpu } from "./lib/gpu/open.ts";
export type { Backend, BackendOptions, DawnToggle } from "./lib/gpu/backend.ts";
export type { SubgroupDirective } from "./lib/gpu/wgsl.ts";
export type { MemoryBudget } from "./lib/gpu/budget.ts";
export type { ComputePipeline, PipelineCache, PipelineHost } from "./lib/gpu/pipeline.ts";
export type { KernelBinding, KernelSource, OverrideConstants } from "./kernels/source.ts";
export type { ScalarType } from "./kernels/struct.ts";
export type { Choose, KernelTarget, MatrixShape, MatrixUnits } from "./kernels/target.ts";

export { cifar10, CIFAR10_CLASSES, type Cifar10Options, type Cifar10Split } from "./lib/data/cifar10.ts";
export type { CacheOptions } from "./lib/data/cache/decoded_images.ts";
export { imageFolder, loadImages, type LoadImagesOptions } from "./lib/data/load_images.ts";
export type { ImageFileOptions, OnBadFile } from "./lib/data/image_options.ts";
export type { ImageFileSummary } from "./lib/data/summary.ts";
export type { ImageTrait } from "./lib/data/decode/decode.ts";
export type { Colour, Fit } from "./lib/data/decode/framing.ts";
export type { DataProgress, DataProgressListener, ImageDataset } from "./lib/data/dataset.ts";
export { imageDataset } from "./lib/data/image_dataset.ts";
export type { ImageDatasetParts } from "./lib/data/dataset.ts";
export { type DatasetSplit, splitDataset, takeSubset } from "./lib/data/splitting.ts";
export type { ImageReader, ImageStore } from "./lib/data/image_store.ts";

export {
  type DownBlockType,
  type Resampling,
  type TimeEmbeddingType,
  type TimeScaleShift,
  type UNetConfig,
  unetConfig,
  unetConfigFromJson,
  unetConfigToJson,
  type UNetOptions,
  type UpBlockType,
} from "./lib/model/config.ts";
export type { Activation } from "./kernels/activation_source.ts";
export { type Precision, PRECISIONS } from "./lib/model/precision.ts";
export { presetConfig, type PresetName, PRESETS } from "./lib/model/presets.ts";

export type {
  ForwardProcess,
  NoiseLevel,
  Objective,
  Target,
  TimeAxis,
} from "./lib/diffusion/forward_process.ts";
export { type FlowOptions, type FlowTimes, RectifiedFlow } from "./lib/diffusion/rectified_flow.ts";
export {
  type BetaParameters,
  type BetaSchedule,
  defaultSchedule,
  NoiseSchedule,
  type ScheduleConfig,
  type ScheduleObjective,
  type TimestepSpacing,
  type VarianceType,
} from "./lib/diffusion/schedule.ts";
export {
  applyStep,
  type PlannedStep,
  planSampling,
  type SamplerChoice,
  type SamplerName,
  samplerNames,
  type SamplerOptions,
  type SamplerSettings,
  type SamplerState,
  type SamplerStep,
  type SpacingName,
  spacingNames,
  startState,
  variances,
} from "./lib/diffusion/sampler.ts";

export type { SigmaSpacing, TimeSpacing } from "./lib/diffusion/spacing.ts";
export type { LossWeighting } from "./lib/diffusion/objective.ts";
export { type EdmOptions, EdmProcess } from "./lib/diffusion/edm_process.ts";
export type { TrainedProcess } from "./lib/diffusion/trained_process.ts";
export type { Communicator } from "./lib/mpi/communicator.ts";
export { joinRanks, MpiCommunicator } from "./lib/mpi/mpi.ts";
export { train, type TrainOptions } from "./lib/train/trainer.ts";
export type { GridSettings, RunEnvironment } from "./lib/train/options.ts";
export type { WeightTensor } from "./lib/files/weights.ts";
export type { ReconstructedEma } from "./lib/files/ema_snapshots.ts";
export type { LoadPipelineOptions } from "./lib/files/pipeline.ts";
export { type CachedModel, fetchModel, type FetchModelOptions } from "./lib/remote/fetch_model.ts";
export {
  type ExportedModel,
  exportModel,
  type ExportOptions,
  type ExportPrecision,
} from "./lib/files/export.ts";
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
export {
  type FeatureOptions,
  type ImageBatch,
  type InceptionFeatures,
  type InceptionOptions,
  InceptionV3,
  type Preprocessing,
  PREPROCESSINGS,
} from "./lib/evaluation/inception/inception_v3.ts";
export type { InceptionSizes } from "./lib/evaluation/inception/network.ts";
export type { TuneMode, TuningOptions, TuningProgress } from "./lib/tuning/tuning.ts";
export {
  PRESET_DEFAULTS,
  type PresetDefaults,
  type SettingsOptions,
  type TrainSettings,
} from "./lib/train/settings.ts";
export type { LengthSettings } from "./lib/train/length_settings.ts";
export type { CheckpointSettings } from "./lib/train/checkpoint_settings.ts";
export type { OptimizerSettings } from "./lib/train/optimizer_settings.ts";
export type { LrSchedule } from "./lib/train/lr_schedule.ts";
export type { ObjectiveSettings } from "./lib/train/objective_settings.ts";
export type { RecipeName } from "./lib/train/recipes.ts";
export { settingsSchema } from "./lib/train/settings_schema.ts";

export {
  type BatchPicture,
  type BatchTurn,
  RunningBatch,
  type RunningBatchOptions,
} from "./lib/sampling/running_batch.ts";
export { DDPM } from "./lib/sampling/ddpm.ts";
export { DiffusionModel, type GeneratedStep, type Trajectory } from "./lib/sampling/diffusion_model.ts";
export type { LoadModelOptions } from "./lib/sampling/load_model.ts";
export type { ModelOptions } from "./lib/sampling/device_model.ts";
export type { ModelFiles } from "./lib/files/pipeline_files.ts";
export type { GuideNetwork } from "./lib/sampling/guidable.ts";
export type { DenoisingError } from "./kernels/records/evaluation.ts";
export { DenoisingPass, type DenoisingPassOptions, type NoisedImage } from "./lib/sampling/denoising_pass.ts";
export { Classifier } from "./lib/evaluation/classifier/classifier.ts";
export type { ClassifierConfig, ClassifierStage } from "./lib/evaluation/classifier/config.ts";
export type { Classified } from "./lib/evaluation/classifier/pass.ts";
export { type Features, featuresOf } from "./lib/evaluation/features.ts";
export { type FeatureMoments, featureMoments } from "./lib/evaluation/moments.ts";
export { frechetDistance } from "./lib/evaluation/frechet_distance.ts";
export {
  type KernelDistance,
  kernelDistance,
  type KernelDistanceOptions,
} from "./lib/evaluation/kernel_distance.ts";
export { type PrecisionRecall, precisionRecall } from "./lib/evaluation/precision_recall.ts";
export { classConsistency, type InceptionScore, inceptionScore } from "./lib/evaluation/class_scores.ts";
export type { Stratum } from "./lib/evaluation/strata.ts";
export type { BoundSteps } from "./lib/evaluation/variational_bound.ts";
export { type Denoiser, evaluateLikelihood, type LikelihoodProgress } from "./lib/evaluation/likelihood.ts";
export {
  type LikelihoodOptions,
  type LikelihoodPlan,
  planLikelihood,
} from "./lib/evaluation/likelihood_plan.ts";
export {
  type DenoisingLoss,
  emptyLikelihoodSums,
  type ErrorSums,
  type Likelihood,
  likelihoodOf,
  type LikelihoodSums,
  type StratumBits,
} from "./lib/evaluation/likelihood_result.ts";
export type { FrameRequest, ImageJob } from "./lib/sampling/image_job.ts";
export type {
  ClassMixture,
  Guidance,
  Guided,
  SigmaInterval,
  WeightedLabel,
} from "./lib/diffusion/guidance.ts";
export type { ClassChoice, ClassFacts } from "./lib/sampling/class_choice.ts";
export type { DrawPlan, GenerateOptions } from "./lib/sampling/request.ts";
export type { KnownImage, SlotImage } from "./lib/sampling/slot_image.ts";
export { changeClass, type ClassChange } from "./lib/sampling/edits/class_change.ts";
export {
  type ImageInterpolation,
  interpolateImages,
  interpolateSeeds,
  type SeedInterpolation,
} from "./lib/sampling/edits/interpolation.ts";
export {
  type InversionOptions,
  type InversionPlan,
  invertBy,
  planInversion,
} from "./lib/sampling/edits/inversion.ts";
export {
  checkEdit,
  type CompleteEdit,
  completeEdit,
  type ImageEdit,
  MAX_RESAMPLINGS,
  stepsRun,
} from "./lib/sampling/edits/image_edit.ts";
export { datasetImages, forwardProcess } from "./lib/sampling/illustrate.ts";
export { initialNoise } from "./lib/sampling/initial_noise.ts";

export { type GridOptions, type ImageMetadata, Images } from "./lib/image/images.ts";
export { Animation, type GifOptions } from "./lib/image/animation.ts";
export { type ChartOptions, type ChartSeries, lossChart } from "./lib/image/chart.ts";
export { JUPYTER_DISPLAY, type JupyterMedia } from "./lib/image/jupyter.ts";
export { strip, type StripOptions } from "./lib/image/process.ts";
