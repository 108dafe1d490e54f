/** JPEG and WebP files, made with the server's encoders. */

import encodeJpeg, { init as initJpeg } from "@jsquash/jpeg/encode.js";
import encodeWebp, { init as initWebp } from "@jsquash/webp/encode.js";
import { jpegModule, webpModule } from "../../server/pictures/encoder_codecs.js";

/** Red, green, blue and optionally alpha of the pixel (x, y), 0 to 255. */
export type Colour = (x: number, y: number) => readonly number[];

const ready = Promise.all([initJpeg(jpegModule), initWebp(webpModule)]);

function imageData(width: number, height: number, colour: Colour): ImageData {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.set([...colour(x, y), 255].slice(0, 4), 4 * (y * width + x));
  }
  return { data, width, height, colorSpace: "srgb" } as ImageData;
}

/** Encodes a high-quality JPEG without chroma subsampling. */
export async function makeJpeg(
  width: number,
  height: number,
  colour: Colour,
  options: { readonly progressive?: boolean; readonly grey?: boolean } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  await ready;
  const { progressive = false, grey = false } = options;
  return new Uint8Array(
    await encodeJpeg(imageData(width, height, colour), {
      quality: 98,
      progressive,
      optimize_coding: false,
      color_space: grey ? 1 : 3,
      auto_subsample: false,
      chroma_subsample: 1,
    }),
  );
}

/** Encodes a WebP. */
export async function makeWebp(
  width: number,
  height: number,
  colour: Colour,
  options: { readonly lossless?: boolean } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  await ready;
  const lossless = options.lossless ? 1 : 0;
  return new Uint8Array(
    await encodeWebp(imageData(width, height, colour), { quality: 98, lossless, exact: lossless }),
  );
}
