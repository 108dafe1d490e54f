/**
 * Pooling over windows and resizing of images. Forward only, but for average pooling over 2 x 2 squares.
 *
 * @module
 */
import { ShapeError } from "../errors.ts";
import { expectShape, expectType } from "./expect.ts";
import type { Graph } from "./graph.ts";
import { bothAxes, type PoolAttributes, type ResizeAttributes } from "./attributes.ts";
import { type Shape, showShape, type Tensor } from "./tensor.ts";

/**
 * Largest value of each window: [N,H,W,C] to [N,H',W',C], H' and W' rounded down as in PyTorch.
 *
 * @throws {ShapeError} if the windows are larger than the image with its padding, or lie in the padding alone
 */
export function maxPool(g: Graph, x: Tensor, attributes: PoolAttributes): Tensor {
  return pool(g, "maxPool", x, attributes);
}

/**
 * Mean of each window's pixels inside the image (PyTorch's `count_include_pad=False`): [N,H,W,C] to [N,H',W',C], H' and W'
 * rounded down. Has a gradient with the attributes {@linkcode SQUARES}.
 *
 * @throws {ShapeError} if the windows are larger than the image with its padding, or lie in the padding alone
 */
export function averagePool(g: Graph, x: Tensor, attributes: PoolAttributes): Tensor {
  return pool(g, "averagePool", x, attributes);
}

function pool(g: Graph, kind: "maxPool" | "averagePool", x: Tensor, attributes: PoolAttributes): Tensor {
  const label = g.label(kind);
  const [batch, height, width, channels] = x.shape;
  const [window, padding] = [bothAxes(attributes.window), bothAxes(attributes.padding)];
  const outSize = (size: number, axis: 0 | 1) => {
    if (padding[axis] >= window[axis] || window[axis] > size + 2 * padding[axis]) {
      throw new ShapeError(
        `${label}: windows ${showShape(window)} with padding ${showShape(padding)} do not fit ${
          showShape(x.shape)
        }`,
      );
    }
    return Math.floor((size + 2 * padding[axis] - window[axis]) / attributes.stride) + 1;
  };
  const shape: Shape = [batch, outSize(height, 0), outSize(width, 1), channels];
  const y = g.tensor(label, shape, "activation", x.trainable);
  g.record({ kind, label, in: { x }, out: { y }, attributes });
  return y;
}

/**
 * Bilinear resize of 8-bit RGB images, without antialiasing, scaled to floats.
 *
 * @param images [N,H,W,3] uint8
 * @param size height and width of the result
 * @returns [N,H',W',3]
 */
export function resizeImages(
  g: Graph,
  images: Tensor,
  [height, width]: readonly [height: number, width: number],
  attributes: ResizeAttributes,
): Tensor {
  const label = g.label("resizeImages");
  const [batch, ...size] = images.shape;
  expectType(label, "images", images, "uint8");
  expectShape(label, "images", images, [batch, size[0], size[1], 3]);
  const y = g.tensor(label, [batch, height, width, 3], "activation", false);
  g.record({ kind: "resizeImages", label, in: { images }, out: { y }, attributes });
  return y;
}
