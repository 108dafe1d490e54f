/**
 * Operations of a classifier: training batch, global average pooling, loss.
 *
 * @module
 */
import { StepStateLayout } from "../../kernels/records/layouts.ts";
import { ShapeError } from "../errors.ts";
import { expectShape, expectType } from "./expect.ts";
import type { Graph } from "./graph.ts";
import type { AugmentAttributes, CrossEntropyAttributes } from "./attributes.ts";
import type { Operations } from "./operations.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Gathers a training batch of labelled images, randomly shifted and mirrored (He et al. 2016, section 4.2), as a function of
 * the step number.
 *
 * @param from `stepState`, the step record; `order` [1,1,1,images] uint32, the epoch's image indices; `images`, the data set
 *   as consecutive uint8 chunks [1,1,1,.] of whole images; `imageLabels` [1,1,1,images] uint8
 * @param image height, width and channels of an image
 * @returns `x` [N,H,W,C] in [-1, 1], and `labels` [1,1,1,N] uint32
 * @throws {ShapeError} if a chunk does not hold whole images, or the shift is as large as the image
 */
export function augment(
  g: Graph,
  from: Operations["augment"]["in"],
  batch: number,
  image: readonly [height: number, width: number, channels: number],
  attributes: AugmentAttributes,
): Operations["augment"]["out"] {
  const label = g.label("augment");
  const [height, width, channels] = image;
  const bytes = height * width * channels;
  expectType(label, "stepState", from.stepState, StepStateLayout);
  expectType(label, "order", from.order, "uint32");
  expectType(label, "imageLabels", from.imageLabels, "uint8");
  for (const chunk of from.images) {
    expectType(label, chunk.name, chunk, "uint8");
    if (chunk.elements % bytes !== 0) {
      throw new ShapeError(
        `${label}: ${chunk.name} has ${chunk.elements} bytes, not a multiple of ${bytes}, the size of an image`,
      );
    }
  }
  const { shift } = attributes;
  if (!Number.isInteger(shift) || shift < 0 || shift >= Math.min(height, width)) {
    throw new ShapeError(
      `${label}: shift must be a whole number from 0 to ${Math.min(height, width) - 1}, got ${shift}`,
    );
  }
  const out = {
    x: g.tensor("augmented images", [batch, ...image], "activation", false),
    labels: g.tensor("labels", [1, 1, 1, batch], "activation", false, "uint32"),
  };
  g.record({ kind: "augment", label, in: from, out, attributes });
  return out;
}

/** Mean over the positions of each image (Lin et al. 2014): [N,H,W,C] to [N,1,1,C]. */
export function globalAveragePool(g: Graph, x: Tensor): Tensor {
  const label = g.label("globalAveragePool");
  const [batch, , , channels] = x.shape;
  const y = g.tensor(label, [batch, 1, 1, channels], "activation", x.trainable);
  g.record({ kind: "globalAveragePool", label, in: { x }, out: { y }, attributes: {} });
  return y;
}

/**
 * Softmax cross-entropy per sample, with label smoothing (Szegedy et al. 2016, section 7). Its gradient is that of the mean
 * over the batch's real samples, without the padding of a last batch.
 *
 * @param operands the step record, `logits` [N,1,1,K] and `labels` [1,1,1,N] uint32 below K
 * @returns [1,1,1,N]
 * @throws {ShapeError} if an operand's shape or type does not fit, or the smoothing is out of range
 */
export function crossEntropy(
  g: Graph,
  operands: Operations["crossEntropy"]["in"],
  attributes: CrossEntropyAttributes,
): Tensor {
  const { stepState, logits, labels } = operands;
  const label = g.label("crossEntropy");
  const [batch, , , classes] = logits.shape;
  expectType(label, "stepState", stepState, StepStateLayout);
  expectShape(label, "logits", logits, [batch, 1, 1, classes]);
  expectType(label, "labels", labels, "uint32");
  expectShape(label, "labels", labels, [1, 1, 1, batch]);
  const { smoothing } = attributes;
  if (!(smoothing >= 0 && smoothing <= 1)) {
    throw new ShapeError(`${label}: smoothing must be in [0, 1], got ${smoothing}`);
  }
  const y = g.tensor("loss", [1, 1, 1, batch], "activation", logits.trainable, "float32");
  g.record({ kind: "crossEntropy", label, in: operands, out: { y }, attributes });
  return y;
}
