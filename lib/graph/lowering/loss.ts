/**
 * Lowering of losses and of their record in the log.
 *
 * @module
 */
import {
  crossEntropyBackward,
  crossEntropyForward,
  type CrossEntropyShape,
} from "../../../kernels/cross_entropy.ts";
import { hybridLossBackward, hybridLossForward } from "../../../kernels/hybrid_loss.ts";
import { lossBackward, lossForward, type LossShape, recordLossForward } from "../../../kernels/loss.ts";
import type { CrossEntropyAttributes, LossAttributes } from "../attributes.ts";
import type { Tensor } from "../tensor.ts";
import type { LoweringTable } from "./context.ts";
import { imageShape, pixelShape } from "./shapes.ts";

/** Losses, their gradients, and their record. */
export const losses: Pick<
  LoweringTable,
  | "trainingLoss"
  | "trainingLossBackward"
  | "crossEntropy"
  | "crossEntropyBackward"
  | "hybridLoss"
  | "hybridLossBackward"
  | "recordLoss"
> = {
  trainingLoss: (_, { label, attributes, in: { stepState, ...operands }, out: { y } }) =>
    lossForward(lossShape(operands.prediction, attributes), {
      ...operands,
      step_state: stepState,
      loss_per_sample: y,
    }, label),
  trainingLossBackward: (_, { label, attributes, in: { stepState, lossScale, ...operands }, out: { dx } }) =>
    lossBackward(lossShape(operands.prediction, attributes), {
      ...operands,
      step_state: stepState,
      loss_scale: lossScale,
      gradient: dx,
    }, label),
  crossEntropy: (_, { label, attributes, in: { stepState, ...operands }, out: { y } }) =>
    crossEntropyForward(
      classShape(operands.logits, attributes),
      { ...operands, step_state: stepState, loss_per_sample: y },
      label,
    ),
  crossEntropyBackward: (_, { label, attributes, in: { stepState, lossScale, ...operands }, out: { dx } }) =>
    crossEntropyBackward(classShape(operands.logits, attributes), {
      ...operands,
      step_state: stepState,
      loss_scale: lossScale,
      gradient: dx,
    }, label),
  hybridLoss: (_, { label, attributes, in: { stepState, xt, ...operands }, out: { y } }) =>
    hybridLossForward({ ...pixelShape(xt), ...attributes }, {
      ...operands,
      step_state: stepState,
      x_t: xt,
      loss_per_sample: y,
    }, label),
  hybridLossBackward: (
    _,
    { label, attributes, in: { stepState, xt, lossScale, ...operands }, out: { dx } },
  ) =>
    hybridLossBackward({ ...pixelShape(xt), ...attributes }, {
      ...operands,
      step_state: stepState,
      x_t: xt,
      loss_scale: lossScale,
      gradient: dx,
    }, label),
  recordLoss: (_, { label, in: { stepState, loss }, out: { log } }) =>
    recordLossForward(loss.shape[3], { step_state: stepState, loss_per_sample: loss, train_log: log }, label),
};

function classShape(logits: Tensor, attributes: CrossEntropyAttributes): CrossEntropyShape {
  const { batch, channels: classes } = imageShape(logits);
  return { batch, classes, ...attributes };
}

function lossShape(prediction: Tensor, attributes: LossAttributes): LossShape {
  return { ...pixelShape(prediction), ...attributes };
}
