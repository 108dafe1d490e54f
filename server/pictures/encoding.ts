/**
 * Image encoding (PNG, JPEG, WebP, GIF) on the calling thread; runs in the encoder's worker.
 *
 * @module
 */
import encodeJpeg, { init as initJpeg } from "@jsquash/jpeg/encode.js";
import encodeWebp, { init as initWebp } from "@jsquash/webp/encode.js";
import { encodeGif } from "../../lib/image/animation.ts";
import { Images } from "../../lib/image/images.ts";
import { jpegModule, webpModule } from "./encoder_codecs.js";
import type { PictureJob } from "./encoder.ts";
import type { Pixels } from "../engine/engine.ts";

const QUALITY = 90;
/** Optimised tables and progressive scans cost three times the time for a quarter of the bytes. */
const JPEG_OPTIONS = { quality: QUALITY, progressive: false, optimize_coding: false };
/** 0 fast to 6 small. */
const WEBP_OPTIONS = { quality: QUALITY, method: 2 };

/** Started on import, so that the codecs are ready for the first picture. */
const ready = { jpeg: initJpeg(jpegModule), webp: initWebp(webpModule) };

/** Encodes a picture. Deterministic: equal jobs give equal bytes. */
export async function encodeFile(job: PictureJob): Promise<Uint8Array<ArrayBuffer>> {
  const { format, images, frames = [] } = job;
  switch (format) {
    case "png":
      return await picture(job, images).png() as Uint8Array<ArrayBuffer>;
    case "gif":
      return await encodeGif([...frames, images].map((frame) => picture(job, frame))) as Uint8Array<
        ArrayBuffer
      >;
    case "jpeg":
      await ready.jpeg;
      return new Uint8Array(await encodeJpeg(withAlpha(picture(job, images)), JPEG_OPTIONS));
    case "webp":
      await ready.webp;
      return new Uint8Array(await encodeWebp(withAlpha(picture(job, images)), WEBP_OPTIONS));
  }
}

/** One upscaled image, or a grid of several. */
function picture({ height, width, scale, metadata }: PictureJob, images: readonly Pixels[]): Images {
  // Metadata has an entry for each image.
  const all = images.map((pixels, i) => new Images(pixels, 1, height, width, [metadata[i]!]));
  const [first, ...others] = all;
  return first && others.length === 0 ? first.scaled(scale) : Images.concat(all).grid({ scale });
}

/** RGBA pixels for the codecs. */
function withAlpha({ pixels, height, width }: Images): ImageData {
  const data = new Uint8ClampedArray(height * width * 4).fill(255);
  for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) {
    // Whole pixels: their length is a multiple of 3.
    data[to] = pixels[from]!;
    data[to + 1] = pixels[from + 1]!;
    data[to + 2] = pixels[from + 2]!;
  }
  return { data, height, width, colorSpace: "srgb" } as ImageData;
}
