/**
 * Graphs of a training step (Ho et al. 2020, algorithm 1, lines 2 to 5) and of a validation batch.
 *
 * @module
 */
import {
  LogRecordLayout,
  LossScaleLayout,
  ScheduleRowLayout,
  StepStateLayout,
  VarianceRowLayout,
} from "../../../kernels/records/layouts.ts";
import type { BufferView } from "../../gpu/memory.ts";
import { type Gradients, recordBackward } from "../../graph/gradients.ts";
import { Graph } from "../../graph/graph.ts";
import type { ElementType, Tensor } from "../../graph/tensor.ts";
import {
  drawAugmentation,
  drawBatch,
  hybridLoss,
  qSample,
  recordLoss,
  selfCondition,
  trainingLoss,
} from "../../graph/training_ops.ts";
import { classCount, imageChannels, imageSize, type UNetConfig } from "../../model/config.ts";
import { type Precision, storageType } from "../../model/precision.ts";
import { unet, type UNetInputs } from "../../model/unet.ts";
import { noClip } from "../../diffusion/samplers/step.ts";

/** Constants of every batch. */
export interface BatchOptions {
  readonly config: UNetConfig;
  /** Images in one micro-batch. */
  readonly batch: number;
  /** Micro-batches per optimizer step. */
  readonly microBatches: number;
  /** Records of the log. Default {@linkcode LOG_SLOTS}. */
  readonly logSlots?: number;
  /** Probability of training a sample without its class. */
  readonly labelDropout: number;
  /** Flip images horizontally with probability 1/2. */
  readonly flip: boolean;
  /** Probability of each transformation of non-leaky augmentation. Default 0. */
  readonly augment?: number;
  /** Draw the noise levels of a training batch from as many equal strata. Default false. */
  readonly stratified?: boolean;
  /** End of the squared error in Huber's loss, above 0; without it, the error is squared everywhere. */
  readonly delta?: number;
  /** Weight of the variational bound, in nats, which trains a learned variance; without it, none is learned. */
  readonly boundScale?: number;
  /** Bound on |x_0| in the estimates of self-conditioning; without it, there is none. */
  readonly estimateClip?: number;
  /** Default float32. Mixed precision scales the loss. */
  readonly precision?: Precision;
  /**
   * Activation checkpointing: recompute most activations in the backward pass instead of keeping them (Chen et al. 2016).
   * They take about half the memory, a step about 10 % more time, and results are bit-identical. Default false.
   */
  readonly checkpointActivations?: boolean;
}

/** Sizes of the data that batches are drawn from. */
export interface DataSizes {
  /** Images in each chunk on the device. */
  readonly chunks: readonly number[];
  /** Noise levels of training. */
  readonly levels: number;
}

/** Inputs of a step other than parameters, and its log: tensors of a graph, or their buffers. */
export interface StepInputs<T> {
  /** Step number, seed, position in the epoch, learning rate. */
  readonly stepState: T;
  /** Indices of the images on the device, in the order of the batches. */
  readonly order: T;
  /** uint8 images, in chunks. */
  readonly images: readonly T[];
  /** Class of each image, uint8. */
  readonly imageLabels: T;
  /** Noise schedule and objective, a row per noise level. */
  readonly schedule: T;
  /** Only for a learned variance: its loss, a row per timestep. */
  readonly variances: T | undefined;
  /** Only with self-conditioning: estimates of the images, the network's second input. */
  readonly estimate: T | undefined;
  /** Output: a record per optimizer step or validation batch. */
  readonly log: T;
  /** Only in mixed precision. */
  readonly lossScale: T | undefined;
}

/** A recorded training step. */
export interface TrainingGraph {
  readonly inputs: StepInputs<Tensor>;
  readonly ofParameter: Gradients["ofParameter"];
}

/** Capacity of the log, records; the CPU must read it at least this often. */
export const LOG_SLOTS = 256;

/**
 * Records the gradients of a micro-batch (algorithm 1, lines 2 to 5). The update that ends line 5 follows the last
 * micro-batch (`optimizer.ts`); the loop, lines 1 and 6, is in `lib/train/run.ts`.
 */
export function recordTrainingStep(g: Graph, options: BatchOptions, data: DataSizes): TrainingGraph {
  const inputs = stepInputs(g, options, data);
  const loss = recordObjective(g, options, inputs, true);
  const recompute = options.checkpointActivations;
  const { ofParameter } = recordBackward(g, loss, { seed: inputs.lossScale, recompute });
  return { inputs, ofParameter };
}

/**
 * Records the first pass of a training step with self-conditioning (Chen, Zhang and Hinton 2022, algorithm 1): estimates of the
 * images from zeros, without dropout, on the very samples of the step.
 *
 * @returns `inputs`, whose estimates are the zeros; `result`, the estimates for {@linkcode recordTrainingStep}, written
 */
export function recordFirstPass(
  g: Graph,
  options: BatchOptions,
  data: DataSizes,
): { readonly inputs: StepInputs<Tensor>; readonly result: Tensor } {
  const inputs = stepInputs(g, options, data);
  const { stepState, schedule } = inputs;
  const { draws, x: xt, network } = drawInputs(g, options, inputs, true);
  const prediction = unet(g, options.config, network);
  const result = g.input("first estimates", xt.shape);
  const clip = options.estimateClip ?? noClip;
  selfCondition(g, { stepState, draws, schedule, xt, prediction }, result, { clip });
  return { inputs, result };
}

/**
 * Records the loss of a validation batch, without dropout, flips, augmentation and label dropout. With self-conditioning, the
 * network has no estimates, so that the loss is that of the samples' first step.
 */
export function recordValidation(g: Graph, options: BatchOptions, data: DataSizes): StepInputs<Tensor> {
  const inputs = stepInputs(g, options, data);
  recordObjective(g, options, inputs, false);
  return inputs;
}

function recordObjective(
  g: Graph,
  options: BatchOptions,
  inputs: StepInputs<Tensor>,
  training: boolean,
): Tensor {
  const { config, microBatches } = options;
  const { stepState, schedule, variances, log } = inputs;
  const { draws, x, targets, network } = drawInputs(g, options, inputs, training);

  // Algorithm 1, line 5: || eps - eps_theta(x_t, t) ||^2 (equation 14), with the schedule's target and weight
  const prediction = unet(g, config, { ...network, ...training ? { stepState } : {} });
  const attributes = { gradientScale: 1 / microBatches, delta: options.delta };
  const loss = options.boundScale === undefined || !variances
    ? trainingLoss(g, { stepState, draws, schedule, prediction, targets }, attributes)
    : hybridLoss(g, { stepState, draws, variances, prediction, targets, xt: x }, {
      ...attributes,
      boundScale: options.boundScale,
    });
  recordLoss(g, { stepState, loss }, log);
  return loss;
}

/** Records lines 2 to 4 of algorithm 1: the samples of a batch, noised, as inputs of the network. */
function drawInputs(
  g: Graph,
  options: BatchOptions,
  { stepState, order, images, imageLabels, schedule, estimate }: StepInputs<Tensor>,
  training: boolean,
): { draws: Tensor; x: Tensor; targets: Tensor; network: UNetInputs } {
  const { config, batch } = options;
  const { labelDropout, flip, stratified, augment = 0 } = training
    ? options
    : { labelDropout: 0, flip: false, stratified: false };
  const given = { levels: schedule.elements, classes: classCount(config), labelDropout, flip, stratified };

  // Algorithm 1, line 2: x_0 ~ q(x_0); line 3: t ~ Uniform({1, ..., T}), a row of the schedule
  const { draws, timesteps, labels } = drawBatch(
    g,
    { stepState, order, imageLabels, schedule },
    batch,
    given,
  );

  // Algorithm 1, line 4: eps ~ N(0, I); x_t = sqrt(acp_t) x_0 + sqrt(1 - acp_t) eps (equation 4)
  const [height, width] = imageSize(config);
  const augmentation = augment > 0
    ? drawAugmentation(g, { stepState, draws }, { probability: augment, height, width })
    : undefined;
  const { xt: x, targets } = qSample(
    g,
    { stepState, images, draws, schedule, ...augmentation ? { maps: augmentation.maps } : {} },
    [height, width, imageChannels(config)],
  );
  const network = {
    ...{ x, timesteps },
    ...estimate ? { estimate } : {},
    ...config.numClassEmbeds === null ? {} : { labels },
    ...augmentation ? { augmentation: augmentation.vectors } : {},
  };
  return { draws, x, targets, network };
}

function stepInputs(
  g: Graph,
  { config, batch, precision, boundScale, logSlots = LOG_SLOTS }: BatchOptions,
  { chunks, levels }: DataSizes,
): StepInputs<Tensor> {
  const vector = (name: string, length: number, type: ElementType) => g.input(name, [1, 1, 1, length], type);
  const [height, width] = imageSize(config);
  const imageBytes = height * width * imageChannels(config);
  const count = chunks.reduce((sum, images) => sum + images, 0);
  return {
    stepState: vector("step state", 1, StepStateLayout),
    order: vector("order", count, "uint32"),
    images: chunks.map((images, i) => vector(`images, chunk ${i}`, images * imageBytes, "uint8")),
    imageLabels: vector("image labels", count, "uint8"),
    schedule: vector("schedule", levels, ScheduleRowLayout),
    variances: boundScale === undefined ? undefined : vector("variances", levels, VarianceRowLayout),
    estimate: config.selfConditioning
      ? g.input("estimates", [batch, height, width, imageChannels(config)])
      : undefined,
    log: vector("log", logSlots, LogRecordLayout),
    lossScale: precision === "mixed" ? vector("loss scale", 1, LossScaleLayout) : undefined,
  };
}

/** Pairs the inputs of a graph with their buffers. */
export function bindInputs(
  tensors: StepInputs<Tensor>,
  views: StepInputs<BufferView>,
): [Tensor, BufferView][] {
  const { images, lossScale, variances, estimate, ...single } = tensors;
  const keys = Object.keys(single) as (keyof typeof single)[];
  return [
    ...keys.map((key): [Tensor, BufferView] => [single[key], views[key]]),
    ...images.map((chunk, i): [Tensor, BufferView] => [chunk, views.images[i]!]), // as many chunks on either side
    ...variances && views.variances ? [[variances, views.variances] as [Tensor, BufferView]] : [],
    ...estimate && views.estimate ? [[estimate, views.estimate] as [Tensor, BufferView]] : [],
    ...lossScale && views.lossScale ? [[lossScale, views.lossScale] as [Tensor, BufferView]] : [],
  ];
}

/** Graph of a training step for the tuner, to which the size of the data makes no difference. */
export function trainingGraph(
  options: Pick<
    BatchOptions,
    "config" | "batch" | "precision" | "checkpointActivations" | "boundScale" | "augment"
  >,
): Graph {
  const g = new Graph(storageType(options.precision));
  const batch = { ...options, microBatches: 1, labelDropout: 0, flip: false };
  recordTrainingStep(g, batch, { chunks: [1], levels: 1 });
  return g;
}
