/**
 * Operations of the training objective (Ho et al. 2020, algorithm 1): sampling a batch, noising it, and the loss.
 *
 * @module
 */
import { AUGMENTATION_DIM } from "../../kernels/draw_augmentation.ts";
import {
  DrawLayout,
  LogRecordLayout,
  ScheduleRowLayout,
  SourceMapLayout,
  StepStateLayout,
  VarianceRowLayout,
} from "../../kernels/records/layouts.ts";
import { ShapeError } from "../errors.ts";
import { expectShape, expectType } from "./expect.ts";
import type { Graph } from "./graph.ts";
import type {
  DrawAugmentationAttributes,
  DrawBatchAttributes,
  HybridLossAttributes,
  LossAttributes,
  SelfConditionAttributes,
} from "./attributes.ts";
import type { Operations } from "./operations.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Samples images, noise levels, flips and labels of a batch (algorithm 1, lines 2 and 3) as a function of the step number.
 *
 * @param from `stepState`, the step record; `order` [1,1,1,images] uint32, the epoch's image indices; `imageLabels`
 *   [1,1,1,images] uint8; `schedule`, a row per noise level, all equally likely
 * @returns `draws` [1,1,1,N], a record per sample; `timesteps` and `labels` [1,1,1,N], the network's inputs
 */
export function drawBatch(
  g: Graph,
  from: Operations["drawBatch"]["in"],
  batch: number,
  attributes: DrawBatchAttributes,
): Operations["drawBatch"]["out"] {
  const label = g.label("x_0, t (algorithm 1, lines 2 and 3)");
  expectType(label, "stepState", from.stepState, StepStateLayout);
  expectType(label, "order", from.order, "uint32");
  expectType(label, "imageLabels", from.imageLabels, "uint8");
  expectType(label, "schedule", from.schedule, ScheduleRowLayout);
  const vector = [1, 1, 1, batch] as const;
  const out = {
    draws: g.tensor("draws", vector, "activation", false, DrawLayout),
    timesteps: g.tensor("timesteps", vector, "activation", false, "float32"),
    labels: g.tensor("labels", vector, "activation", false, "uint32"),
  };
  g.record({ kind: "drawBatch", label, in: from, out, attributes });
  return out;
}

/**
 * Draws the non-leaky augmentation of a batch (Karras et al. 2022, appendix F.2) as a function of the step number.
 *
 * @param from `stepState`, the step record; `draws` of {@linkcode drawBatch}, whose flips are part of the augmentation
 * @returns `maps` [1,1,1,N], a record per sample; `vectors` [N,1,1,9], which condition the network on them
 */
export function drawAugmentation(
  g: Graph,
  from: Operations["drawAugmentation"]["in"],
  attributes: DrawAugmentationAttributes,
): Operations["drawAugmentation"]["out"] {
  const label = g.label("augmentation");
  expectType(label, "stepState", from.stepState, StepStateLayout);
  expectType(label, "draws", from.draws, DrawLayout);
  const batch = from.draws.shape[3];
  const out = {
    maps: g.tensor("maps", [1, 1, 1, batch], "activation", false, SourceMapLayout),
    vectors: g.tensor("vectors", [batch, 1, 1, AUGMENTATION_DIM], "activation", false, "float32"),
  };
  g.record({ kind: "drawAugmentation", label, in: from, out, attributes });
  return out;
}

/**
 * Noises the drawn images (algorithm 1, line 4): `x_t = sqrt(acp_t) x_0 + sqrt(1 - acp_t) eps` (equation 4) with
 * `eps ~ N(0, I)`, and the prediction targets, which are `eps` in the paper.
 *
 * @param from `stepState`, the step record; `images`, the data set as consecutive uint8 chunks [1,1,1,.] of whole images;
 *   `draws` of {@linkcode drawBatch}; `schedule`, a row per noise level; `maps` of {@linkcode drawAugmentation}, if any
 * @param image height, width and channels of an image
 * @returns `xt` and `targets`, both [N,H,W,C]
 * @throws {ShapeError} if a chunk does not hold whole images
 */
export function qSample(
  g: Graph,
  from: Operations["qSample"]["in"],
  image: readonly [height: number, width: number, channels: number],
): Operations["qSample"]["out"] {
  const label = g.label("x_t (algorithm 1, line 4)");
  const bytes = image[0] * image[1] * image[2];
  expectType(label, "stepState", from.stepState, StepStateLayout);
  expectType(label, "draws", from.draws, DrawLayout);
  expectType(label, "schedule", from.schedule, ScheduleRowLayout);
  if (from.maps) expectType(label, "maps", from.maps, SourceMapLayout);
  for (const chunk of from.images) {
    expectType(label, chunk.name, chunk, "uint8");
    if (chunk.elements % bytes !== 0) {
      throw new ShapeError(
        `${label}: ${chunk.name} has ${chunk.elements} bytes, not a multiple of ${bytes}, the size of an image`,
      );
    }
  }
  const shape = [from.draws.shape[3], ...image] as const;
  const out = {
    xt: g.tensor("x_t", shape, "activation", false),
    targets: g.tensor("targets", shape, "activation", false, "float32"),
  };
  g.record({ kind: "qSample", label, in: from, out, attributes: {} });
  return out;
}

/**
 * Estimates of `x_0` from the network's output without any, for about half of the samples, and zeros for the others
 * (Chen, Zhang and Hinton 2022, algorithm 1).
 *
 * @param from `stepState`, the step record; `draws`, `schedule`, and `xt` [N,H,W,C] of {@linkcode qSample}; `prediction`
 *   [N,H,W,C], or 2 C channels of a network with a learned variance
 * @param estimate [N,H,W,C], bound from outside
 */
export function selfCondition(
  g: Graph,
  from: Operations["selfCondition"]["in"],
  estimate: Tensor,
  attributes: SelfConditionAttributes,
): void {
  const label = g.label("self-conditioning");
  expectType(label, "stepState", from.stepState, StepStateLayout);
  expectType(label, "draws", from.draws, DrawLayout);
  expectType(label, "schedule", from.schedule, ScheduleRowLayout);
  expectShape(label, "estimate", estimate, from.xt.shape);
  g.record({ kind: "selfCondition", label, in: from, out: { estimate }, attributes });
}

/**
 * Training loss per sample, `weight_t mean((target - prediction)^2)` (equation 14, with weight 1; algorithm 1, line 5), or
 * Huber's loss in place of the square. Its gradient is that of the mean over the batch's real samples, without the padding of
 * a last batch.
 *
 * @param operands the step record, `draws`, `schedule`, and `prediction` and `targets` [N,H,W,C]
 * @returns [1,1,1,N]
 */
export function trainingLoss(
  g: Graph,
  operands: Operations["trainingLoss"]["in"],
  attributes: LossAttributes,
): Tensor {
  const { stepState, draws, schedule, prediction, targets } = operands;
  const label = g.label("loss (algorithm 1, line 5)");
  expectType(label, "stepState", stepState, StepStateLayout);
  expectType(label, "draws", draws, DrawLayout);
  expectType(label, "schedule", schedule, ScheduleRowLayout);
  expectType(label, "targets", targets, "float32");
  expectShape(label, "targets", targets, prediction.shape);
  const [batch] = prediction.shape;
  expectShape(label, "draws", draws, [1, 1, 1, batch]);
  const y = g.tensor("loss", [1, 1, 1, batch], "activation", prediction.trainable, "float32");
  g.record({ kind: "trainingLoss", label, in: operands, out: { y }, attributes });
  return y;
}

/**
 * Training loss per sample of a network with a learned variance: {@linkcode trainingLoss} of the first half of the
 * prediction's channels, and the variational bound, which trains the second (Nichol and Dhariwal 2021, equation 16).
 *
 * @param operands the step record, `draws`, `variances`, a row per timestep, `prediction` [N,H,W,2C], and `targets` and `xt`
 *   [N,H,W,C]
 * @returns [1,1,1,N]
 */
export function hybridLoss(
  g: Graph,
  operands: Operations["hybridLoss"]["in"],
  attributes: HybridLossAttributes,
): Tensor {
  const { stepState, draws, variances, prediction, targets, xt } = operands;
  const label = g.label("hybrid loss");
  expectType(label, "stepState", stepState, StepStateLayout);
  expectType(label, "draws", draws, DrawLayout);
  expectType(label, "variances", variances, VarianceRowLayout);
  expectType(label, "targets", targets, "float32");
  expectShape(label, "targets", targets, xt.shape);
  const [batch, height, width, channels] = xt.shape;
  expectShape(label, "prediction", prediction, [batch, height, width, 2 * channels]);
  expectShape(label, "draws", draws, [1, 1, 1, batch]);
  const y = g.tensor("loss", [1, 1, 1, batch], "activation", prediction.trainable, "float32");
  g.record({ kind: "hybridLoss", label, in: operands, out: { y }, attributes });
  return y;
}

/**
 * Adds the losses of a batch to the step's log record.
 *
 * @param from the step record, and `loss` of {@linkcode trainingLoss} or {@linkcode hybridLoss}
 * @param log array of `LogRecord`, bound from outside
 */
export function recordLoss(g: Graph, from: Operations["recordLoss"]["in"], log: Tensor): void {
  const label = g.label("loss record");
  expectType(label, "stepState", from.stepState, StepStateLayout);
  expectType(label, "loss", from.loss, "float32");
  expectType(label, "log", log, LogRecordLayout);
  g.record({ kind: "recordLoss", label, in: from, out: { log }, attributes: {} });
}
