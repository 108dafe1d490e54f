import assert from "node:assert/strict";
import { averagePoolForward, maxPoolForward, type PoolShape } from "../../kernels/pool.ts";
import { noise } from "../reference/differences.ts";
import { averagePoolReference, maxPoolReference } from "../reference/pool.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { STORAGES } from "../support/storage.ts";

/** Windows of [height, width] at a stride, with the same padding on both sides. */
function pool(
  [batch, inHeight, inWidth, channels]: readonly [number, number, number, number],
  [windowHeight, windowWidth]: readonly [number, number],
  stride: number,
  padding: number,
): PoolShape {
  const out = (size: number, window: number) => Math.floor((size + 2 * padding - window) / stride) + 1;
  return {
    ...{ batch, inHeight, inWidth, channels, windowHeight, windowWidth, stride },
    ...{ padTop: padding, padLeft: padding },
    ...{ outHeight: out(inHeight, windowHeight), outWidth: out(inWidth, windowWidth) },
  };
}

const SHAPES = [
  pool([2, 9, 8, 12], [3, 3], 2, 0),
  pool([2, 5, 7, 6], [3, 3], 1, 1),
  pool([3, 4, 5, 3], [4, 5], 1, 0),
  pool([1, 1, 1, 1], [3, 3], 1, 1),
  pool([2, 7, 6, 5], [2, 3], 2, 1),
  pool([2, 30, 30, 32], [3, 3], 1, 1),
];
for (const storage of STORAGES) {
  for (const s of SHAPES) {
    const { batch, inHeight, inWidth, channels, windowHeight, windowWidth, stride, padTop } = s;
    const name = `x=[${batch},${inHeight},${inWidth},${channels}] window=[${windowHeight},${windowWidth}] ` +
      `stride=${stride} padding=${padTop}${storage.suffix}`;
    Deno.test(`max and average pools match reference: ${name}`, async () => {
      // Values below zero, which padding that counts would replace.
      const values = noise(batch * inHeight * inWidth * channels, 1).map((value) => value - 2);
      const rounded = storage.rounded(values);
      const x = storage.array(packChannels(rounded, channels));
      const elements = batch * s.outHeight * s.outWidth * 4 * Math.ceil(channels / 4);
      const [largest, mean] = [storage.empty(elements), storage.empty(elements)];
      await storage.run([
        ...maxPoolForward<HostArray>(s, { x, y: largest }),
        ...averagePoolForward<HostArray>(s, { x, y: mean }),
      ]);
      assert.deepEqual([...unpackChannels(largest, channels)], [...maxPoolReference(s, rounded)]);
      // Sums of up to 20 terms of at most 3.
      const tolerance = storage.stored({ absolute: 20 * 3 * 2 ** -24 });
      assertClose(unpackChannels(mean, channels), averagePoolReference(s, rounded), tolerance, "mean");
    });
  }
}
