/** Reference of augment.wgsl, one value at a time. */
import { threefry } from "./threefry.ts";

export interface AugmentReferenceInput {
  batch: number;
  height: number;
  width: number;
  channels: number;
  count: number;
  position: number;
  step: number;
  stream: number;
  key: [number, number];
  order: ArrayLike<number>;
  /** Bytes of the whole data set, [images, H, W, C]. */
  images: ArrayLike<number>;
  imageLabels: ArrayLike<number>;
  shift: number;
  flip: boolean;
}

/** Index of the pixel that a position outside of the image shows: 0 1 2 3 continues as 2 1 0 and, to the left, 1 2 3. */
function inside(i: number, size: number): number {
  if (i < 0) return -i;
  return i < size ? i : size - 1 - (i - (size - 1));
}

export function augmentReference(input: AugmentReferenceInput): { x: Float64Array; labels: number[] } {
  const { batch, height, width, channels, shift } = input;
  const x = new Float64Array(batch * height * width * channels);
  const labels: number[] = [];
  for (let n = 0; n < batch; n++) {
    const [across, down, side] = threefry([n, 2, input.step, input.stream], input.key);
    const image = input.order[input.position + (n < input.count ? n : 0)];
    const dx = Math.floor(across * (2 * shift + 1) / 2 ** 32) - shift;
    const dy = Math.floor(down * (2 * shift + 1) / 2 ** 32) - shift;
    const mirrored = input.flip && side % 2 === 1;
    labels.push(input.imageLabels[image]);
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const row = inside(i + dy, height);
        const column = inside((mirrored ? width - 1 - j : j) + dx, width);
        for (let c = 0; c < channels; c++) {
          const byte = input.images[((image * height + row) * width + column) * channels + c];
          x[((n * height + i) * width + j) * channels + c] = byte / 127.5 - 1;
        }
      }
    }
  }
  return { x, labels };
}
