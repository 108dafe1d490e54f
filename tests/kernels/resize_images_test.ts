import { resizeImagesForward, type ResizeShape } from "../../kernels/resize_images.ts";
import { noise } from "../reference/differences.ts";
import { resizeImagesReference } from "../reference/resize_images.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { unpackChannels } from "../support/layout.ts";
import { STORAGES } from "../support/storage.ts";

const SIZES: readonly (readonly [batch: number, from: [number, number], to: [number, number]])[] = [
  [2, [8, 8], [19, 19]],
  [1, [5, 7], [13, 11]],
  [3, [9, 6], [4, 5]],
  [1, [1, 1], [3, 2]],
  [2, [6, 5], [6, 5]],
  [1, [32, 32], [75, 75]],
];
const BYTES = { scale: 2 / 255, shift: -1 };
for (const storage of STORAGES) {
  for (const [batch, [inHeight, inWidth], [outHeight, outWidth]] of SIZES) {
    for (const centre of [0.5, 0]) {
      const name = `${batch} of ${inHeight}x${inWidth} to ${outHeight}x${outWidth}, centre ${centre}`;
      Deno.test(`a bilinear resize matches reference: ${name}${storage.suffix}`, async () => {
        const shape: ResizeShape = { batch, inHeight, inWidth, outHeight, outWidth, centre, ...BYTES };
        const bytes = Uint8Array.from(
          noise(batch * inHeight * inWidth * 3, 1),
          (value) => Math.round(127.5 * (value + 1)),
        );
        const words = new Uint8Array(4 * Math.ceil(bytes.length / 4));
        words.set(bytes);
        const y = storage.empty(batch * outHeight * outWidth * 4);
        const images = new Uint32Array(words.buffer);
        await storage.run([...resizeImagesForward<HostArray>(shape, { images, y })]);
        // Coordinates up to 64 in float32, times a slope of at most 2, and five roundings of values up to 1.
        const tolerance = storage.stored({ absolute: 2 * 64 * 2 ** -23 + 5 * 2 ** -24 });
        assertClose(unpackChannels(y, 3), resizeImagesReference(shape, bytes), tolerance, "y");
      });
    }
  }
}
