/**
 * Animated GIF files (GIF89a), such as noise turning into an image.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { Images } from "./images.ts";

/** Options of {@linkcode encodeGif}. */
export interface GifOptions {
  /** Milliseconds each frame is shown, 20 to 60000, rounded to GIF's hundredths of a second; default 100. */
  delayMs?: number;
  /** Milliseconds the last frame is shown, in the same range; default 2000. */
  holdLastMs?: number;
  /** Whether the animation starts again at its end; default true. */
  loop?: boolean;
}

/** Browsers play frames shorter than this at 100 ms. */
const MIN_DELAY_MS = 20;
const MAX_DELAY_MS = 60_000;

/**
 * Encodes frames as an animated GIF; each has a palette of its own of up to 255 colours.
 *
 * The encoder is imagescript's native one, loaded on first use: Deno needs `--allow-ffi` for it. It takes about 2 µs a
 * pixel and frame.
 *
 * @param frames single images of one size (use `grid()` for several), in order
 * @param options timing
 * @returns the file's bytes
 * @throws {ConfigError} if there are no frames, they do not match, or an option is out of range
 */
export async function encodeGif(frames: readonly Images[], options: GifOptions = {}): Promise<Uint8Array> {
  const { delayMs = 100, holdLastMs = 2000, loop = true } = options;
  checkDelay("delayMs", delayMs);
  checkDelay("holdLastMs", holdLastMs);
  if (frames.length === 0) throw new ConfigError("frames.length", 0, "at least one frame");
  const { width, height } = frames[0];
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

  const { Frame, GIF } = await import("imagescript");
  const gifFrames = frames.map((image, index) => {
    const delay = index === frames.length - 1 ? holdLastMs : delayMs;
    const frame = new Frame(width, height, Math.round(delay / 10) * 10);
    for (let from = 0, to = 0; from < image.pixels.length; from += 3, to += 4) {
      frame.bitmap.set(image.pixels.subarray(from, from + 3), to);
      frame.bitmap[to + 3] = 255;
    }
    return frame;
  });
  return await new GIF(gifFrames, loop ? -1 : 0).encode();
}

function checkDelay(field: string, value: number): void {
  if (!(value >= MIN_DELAY_MS && value <= MAX_DELAY_MS)) {
    throw new ConfigError(field, value, `milliseconds from ${MIN_DELAY_MS} to ${MAX_DELAY_MS}`);
  }
}
