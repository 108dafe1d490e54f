/** Pictures to encode. */
import type { PictureFormat, PictureJob } from "../../../server/pictures/encoder.ts";

/** An image of one colour. */
export function plainImage(red: number, green: number, blue: number, size = 8): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size * size * 3 }, (_, i) => [red, green, blue][i % 3]);
}

/** A job for one image of 8x8 pixels. */
export function pictureJob(format: PictureFormat, changes: Partial<PictureJob> = {}): PictureJob {
  const images = [plainImage(200, 40, 90)];
  return { format, height: 8, width: 8, scale: 1, images, metadata: images.map(() => ({})), ...changes };
}
