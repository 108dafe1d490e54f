import assert from "node:assert/strict";
import { ShapeError } from "../../lib/errors.ts";
import { recordBackward } from "../../lib/graph/gradients.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { averagePool, maxPool, resizeImages } from "../../lib/graph/inference_ops.ts";
import type { Shape, Tensor } from "../../lib/graph/tensor.ts";

const BYTES = { centre: 0.5, scale: 2 / 255, shift: -1 };

Deno.test("pools and resizes have the shapes that they promise", () => {
  const g = new Graph();
  const x = g.input("x", [2, 7, 8, 5]);
  const shapes: [Tensor, Shape][] = [
    [maxPool(g, x, { window: 3, stride: 2, padding: 0 }), [2, 3, 3, 5]],
    [maxPool(g, x, { window: 3, stride: 1, padding: 1 }), [2, 7, 8, 5]],
    [averagePool(g, x, { window: [7, 8], stride: 1, padding: 0 }), [2, 1, 1, 5]],
    [averagePool(g, x, { window: [2, 3], stride: 2, padding: [0, 1] }), [2, 3, 4, 5]],
    [resizeImages(g, g.input("images", [2, 4, 5, 3], "uint8"), [9, 3], BYTES), [2, 9, 3, 3]],
  ];
  for (const [tensor, shape] of shapes) assert.deepEqual(tensor.shape, shape, tensor.name);
});

const faults: [name: string, message: string, record: (g: Graph) => void][] = [
  [
    "windows larger than the image",
    "maxPool: windows [3,3] with padding [0,0] do not fit [1,2,4,8]",
    (g) => maxPool(g, g.input("x", [1, 2, 4, 8]), { window: 3, stride: 1, padding: 0 }),
  ],
  [
    "windows that lie in the padding",
    "averagePool: windows [3,2] with padding [1,2] do not fit [1,4,4,8]",
    (g) => averagePool(g, g.input("x", [1, 4, 4, 8]), { window: [3, 2], stride: 1, padding: [1, 2] }),
  ],
  [
    "images of floats",
    "resizeImages: images is float32, expected uint8",
    (g) => resizeImages(g, g.input("images", [1, 4, 4, 3]), [8, 8], BYTES),
  ],
  [
    "grey images",
    "resizeImages: images has shape [1,4,4,1], expected [1,4,4,3]",
    (g) => resizeImages(g, g.input("images", [1, 4, 4, 1], "uint8"), [8, 8], BYTES),
  ],
];
for (const [name, message, record] of faults) {
  Deno.test(`refused, naming operand and shapes: ${name}`, () => {
    assert.throws(() => record(new Graph()), new ShapeError(message));
  });
}

for (const pool of [maxPool, averagePool]) {
  Deno.test(`${pool.name} over windows of three pixels has no gradient`, () => {
    const g = new Graph();
    const x = g.input("x", [1, 4, 4, 8]);
    const y = pool(g, x, { window: 3, stride: 1, padding: 0 });
    assert.throws(
      () => recordBackward(g, y, { seed: g.input("seed", y.shape), wanted: [x] }),
      { message: `${pool.name} is forward only` },
    );
  });
}
