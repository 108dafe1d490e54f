/**
 * Animated GIF encoder (GIF89a), for trajectories from noise to image.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { Images } from "./images.ts";

/** Options of {@linkcode encodeGif}. */
export interface GifOptions {
  /** Duration of each frame in milliseconds, 20 to 60000, rounded to GIF's hundredths of a second; default 100. */
  delayMs?: number;
  /** Duration of the last frame in milliseconds, in the same range; default 2000. */
  holdLastMs?: number;
  /** Repeat the animation for ever; default true. */
  loop?: boolean;
}

const MAX_COLOURS = 256;
/**
 * Distinct colours (5 bits per channel) above which colours are quantized to 4 bits per channel first: the time of
 * gifenc's palette search is quadratic in them. For a frame of noise: 0.1 s instead of 3 to 8 s, rms error 8.6 instead of 8.8.
 */
const MANY_COLOURS = 4096;
/** Browsers show shorter frames for 100 ms. */
const MIN_DELAY_MS = 20;
const MAX_DELAY_MS = 60_000;

/**
 * Encodes frames as an animated GIF, each with its own palette of up to 256 colours. Takes 0.04 to 0.3 µs per pixel
 * and frame.
 *
 * @param frames single images of equal size (use `grid()` for several), in order
 * @param options timing
 * @returns the file's bytes
 * @throws {ConfigError} if there are no frames, their sizes differ, or an option is out of range
 */
export async function encodeGif(frames: readonly Images[], options: GifOptions = {}): Promise<Uint8Array> {
  const { delayMs = 100, holdLastMs = 2000, loop = true } = options;
  checkDelay("delayMs", delayMs);
  checkDelay("holdLastMs", holdLastMs);
  const [first] = frames;
  if (!first) throw new ConfigError("frames.length", 0, "at least one frame");
  const { width, height } = first;
  for (const [index, frame] of frames.entries()) {
    if (frame.count !== 1) {
      throw new ConfigError(
        `frames[${index}].count`,
        frame.count,
        "1 image in a frame; use grid() for several",
      );
    }
    if (frame.width !== width || frame.height !== height) {
      const size = `${frame.width} x ${frame.height}`;
      throw new ConfigError(`frames[${index}]`, size, `${width} x ${height}, as the first frame`);
    }
  }

  const { default: gifenc } = await import("gifenc");
  const gif = gifenc.GIFEncoder();
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (const [index, { pixels }] of frames.entries()) {
    for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) {
      rgba[to] = pixels[from]!;
      rgba[to + 1] = pixels[from + 1]!;
      rgba[to + 2] = pixels[from + 2]!;
    }
    const format = countColours(pixels) > MANY_COLOURS ? "rgb444" : "rgb565";
    const palette = gifenc.quantize(rgba, MAX_COLOURS, { format });
    const delay = Math.round((index === frames.length - 1 ? holdLastMs : delayMs) / 10) * 10;
    const repeat = loop ? 0 : -1; // 0: for ever
    gif.writeFrame(gifenc.applyPalette(rgba, palette), width, height, { palette, delay, repeat });
  }
  gif.finish();
  return gif.bytes();
}

/** Number of distinct colours, at 5 bits per channel. */
function countColours(pixels: Uint8Array): number {
  const seen = new Uint8Array(2 ** 15);
  for (let i = 0; i < pixels.length; i += 3) {
    seen[(pixels[i]! >> 3) << 10 | (pixels[i + 1]! >> 3) << 5 | pixels[i + 2]! >> 3] = 1;
  }
  return seen.reduce((sum, one) => sum + one, 0);
}

function checkDelay(field: string, value: number): void {
  if (!(value >= MIN_DELAY_MS && value <= MAX_DELAY_MS)) {
    throw new ConfigError(field, value, `milliseconds from ${MIN_DELAY_MS} to ${MAX_DELAY_MS}`);
  }
}
