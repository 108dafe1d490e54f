import assert from "node:assert/strict";
import { qSampleForward } from "../../kernels/q_sample.ts";
import { encodeScheduleTables } from "../../kernels/records/training.ts";
import { augmentedImage, drawAugmentationReference, type Matrix } from "../reference/augmentation.ts";
import { normals } from "../reference/threefry.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { unpackChannels } from "../support/layout.ts";
import { packBytes, stepWords } from "../support/step.ts";
import { FLOAT32, STORAGES } from "../support/storage.ts";

/** Two levels: an image with noise, whose target is the image, and an image without. */
const SCHEDULE = encodeScheduleTables({
  timestep: [0, 1],
  signal: [0.8, 1],
  noise: [0.6, 0],
  targetFromX0: [1, 1],
  targetFromNoise: [0, 0],
  weight: [1, 1],
});

type Size = readonly [height: number, width: number, channels: number];

const bytesOf = (count: number) =>
  Uint8Array.from({ length: count }, (_, i) => (i * 37 + (i >> 3) * 11) % 256);

/** Sample `n` is image `n` at level `n % 2`, under map `n`; without maps, flipped as `n` is odd. */
async function run(
  size: Size,
  count: number,
  maps?: readonly Matrix[],
  { chunks = [count], storage = FLOAT32 } = {},
) {
  const [height, width, channels] = size;
  const imageBytes = height * width * channels;
  const bytes = bytesOf(count * imageBytes);
  const stored = count * height * width * 4 * Math.ceil(channels / 4);
  const outputs = { x_t: storage.empty(stored), targets: new Float32Array(stored).fill(NaN) };
  const buffers = {
    step_state: stepWords({ step: 5, stream: 1, seedLo: 3, seedHi: 4 }),
    draws: Uint32Array.from(Array.from({ length: count }, (_, n) => [n, n % 2, n % 2]).flat()),
    schedule: SCHEDULE,
    maps: maps && Float32Array.from(maps.flatMap(([[xx, xy, x0], [yx, yy, y0]]) => [xx, xy, x0, yx, yy, y0])),
    ...outputs,
  };
  let chunkFirst = 0;
  await storage.run(chunks.flatMap((chunkCount) => {
    const images = packBytes(bytes.subarray(chunkFirst * imageBytes, (chunkFirst + chunkCount) * imageBytes));
    const shape = { batch: count, height, width, channels, chunkFirst, chunkCount };
    chunkFirst += chunkCount;
    return qSampleForward<HostArray>(shape, { ...buffers, images });
  }));
  const image = (n: number) => bytes.subarray(n * imageBytes, (n + 1) * imageBytes);
  return { ...outputs, image };
}

const rotation = (turns: number, x = 0, y = 0): Matrix => {
  const [c, s] = [Math.cos(2 * Math.PI * turns), Math.sin(2 * Math.PI * turns)];
  return [[c, -s, x], [s, c, y], [0, 0, 1]];
};

/** One map of each kind, and some of all together. */
const MAPS: Record<string, Matrix> = {
  "left to right": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
  "top to bottom": [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
  "larger": [[0.8, 0, 0], [0, 0.8, 0], [0, 0, 1]],
  "smaller by so much that reflections repeat": [[4.5, 0, 0], [0, 4.5, 0], [0, 0, 1]],
  "rotated": rotation(0.13),
  "stretched": [[0.9, 0.2, 0], [0.2, 1.1, 0], [0, 0, 1]],
  "moved": rotation(0, 2.3, -3.6),
  "drawn": drawAugmentationReference(
    { probability: 1, height: 8, width: 8, step: 1, stream: 0, key: [7, 8] },
    0,
    1,
  ).map,
};

const SIZES: Size[] = [[8, 8, 3], [5, 7, 3], [1, 1, 3], [1, 6, 1], [18, 35, 5]];
for (const storage of STORAGES) {
  for (const size of SIZES) {
    Deno.test(`images [${size}] of each map match the reference${storage.suffix}`, async () => {
      const maps = Object.values(MAPS);
      const [height, width, channels] = size;
      const blocks = Math.ceil(channels / 4);
      const chunks = [3, 1, maps.length - 4];
      const { x_t, targets, image } = await run(size, maps.length, maps, { chunks, storage });
      const x0 = maps.map((map, n) => augmentedImage(image(n), size, map).map((value) => value / 127.5 - 1));
      // Coordinates are good to 1e-5 of a pixel, across which values change by 2.
      const tolerance = { absolute: 5e-5 };
      assertClose(
        unpackChannels(targets, channels),
        x0.flatMap((values) => [...values]),
        tolerance,
        "targets",
      );
      const xT = x0.flatMap((values, n) =>
        [...values].map((value, i) => {
          const block = Math.floor(i / channels) * blocks + Math.floor(i % channels / 4);
          const e = normals([block, 1, 5, 1 + 256 * n], [3, 4])[i % channels % 4];
          return n % 2 === 0 ? 0.8 * value + 0.6 * e : value;
        })
      );
      assert.equal(xT.length, maps.length * height * width * channels);
      assertClose(unpackChannels(x_t, channels), xT, storage.stored(tolerance), "x_t");
    });
  }
}

Deno.test("flips alone give the bits of images that are not augmented", async () => {
  for (const size of [[8, 8, 3], [5, 7, 3]] as const) {
    const identity: Matrix = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    const maps = [identity, MAPS["left to right"], identity, MAPS["left to right"]];
    const [augmented, plain] = [await run(size, 4, maps), await run(size, 4)];
    assert.deepEqual(augmented.x_t, plain.x_t);
    assert.deepEqual(augmented.targets, plain.targets);
  }
});
