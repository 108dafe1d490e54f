/**
 * Lowering of the preparation of a training batch: draws, augmentation, noise, estimates of x_0.
 *
 * @module
 */
import { augmentForward } from "../../../kernels/augment.ts";
import { drawAugmentationForward } from "../../../kernels/draw_augmentation.ts";
import { drawBatchForward } from "../../../kernels/draw_batch.ts";
import { qSampleForward } from "../../../kernels/q_sample.ts";
import { selfConditionForward } from "../../../kernels/self_condition.ts";
import type { Tensor } from "../tensor.ts";
import type { LoweringTable } from "./context.ts";
import { planeShape } from "./shapes.ts";

/** Preparation of training batches. */
export const batches: Pick<
  LoweringTable,
  "drawBatch" | "drawAugmentation" | "augment" | "qSample" | "selfCondition"
> = {
  drawBatch(_, { label, attributes, in: { stepState, order, imageLabels, schedule }, out }) {
    const buffers = {
      ...{ step_state: stepState, order, labels: imageLabels, schedule },
      ...{ draws: out.draws, timestep: out.timesteps, label: out.labels },
    };
    return drawBatchForward({ batch: out.draws.elements, ...attributes }, buffers, label);
  },
  drawAugmentation: (_, { label, attributes, in: { stepState, draws }, out }) =>
    drawAugmentationForward(
      { batch: draws.elements, ...attributes },
      { step_state: stepState, draws, ...out },
      label,
    ),
  augment(_, { label, attributes, in: { images, ...operands }, out }) {
    const { batch, height, width, channels } = planeShape(out.x);
    const buffers = {
      ...{ step_state: operands.stepState, order: operands.order, image_labels: operands.imageLabels },
      ...out,
    };
    return chunksOf(images, height * width * channels).flatMap(({ chunk, chunkFirst, chunkCount }) => {
      const shape = { batch, height, width, channels, chunkFirst, chunkCount, ...attributes };
      return augmentForward(shape, { ...buffers, images: chunk }, label);
    });
  },
  qSample(_, { label, in: { stepState, images, draws, schedule, maps }, out: { xt, targets } }) {
    const { batch, height, width, channels } = planeShape(xt);
    const buffers = { step_state: stepState, draws, schedule, maps, x_t: xt, targets };
    return chunksOf(images, height * width * channels).flatMap(({ chunk, chunkFirst, chunkCount }) => {
      const shape = { batch, height, width, channels, chunkFirst, chunkCount };
      return qSampleForward(shape, { ...buffers, images: chunk }, label);
    });
  },
  selfCondition: (_, { label, attributes, in: { stepState, xt, ...operands }, out }) =>
    selfConditionForward(
      { ...planeShape(xt), outChannels: operands.prediction.shape[3], ...attributes },
      { step_state: stepState, x_t: xt, ...operands, ...out },
      label,
    ),
};

/** Chunks of a data set with the index of their first image and their number of images. */
function chunksOf(images: readonly Tensor[], imageBytes: number) {
  let next = 0;
  return images.map((chunk) => {
    const chunkFirst = next;
    const chunkCount = chunk.elements / imageBytes;
    next += chunkCount;
    return { chunk, chunkFirst, chunkCount };
  });
}
