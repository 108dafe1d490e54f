/**
 * Animations as GIF files (GIF89a), for trajectories from noise to image.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { Images } from "./images.ts";
import { JUPYTER_DISPLAY, type JupyterMedia } from "./jupyter.ts";

/** Timing of an {@linkcode Animation}. */
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
  const { width, height } = checkAnimation(frames, options);
  const { delayMs = 100, holdLastMs = 2000, loop = true } = options;
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

/**
 * Pictures shown one after the other, such as the images of a {@linkcode Trajectory}.
 *
 * @example Noise that becomes ten images, as a file
 * ```ts ignore
 * const { noisy } = await model.trajectory({ class: model.classes, steps: 20 }, 20);
 * const animation = new Animation(noisy.map((images) => images.grid({ columns: 5, scale: 2 })));
 * await Deno.writeFile("reverse.gif", await animation.gif());
 * ```
 */
export class Animation {
  /** Single images of equal size, in order. */
  readonly frames: readonly Images[];
  /** Duration of the frames, and repetition. */
  readonly options: GifOptions;

  /**
   * Keeps the frames; they are encoded when a file is asked for.
   *
   * @param frames single images of equal size (use `grid()` for several), in order
   * @param options timing
   * @throws {ConfigError} if there are no frames, their sizes differ, or an option is out of range
   */
  constructor(frames: readonly Images[], options: GifOptions = {}) {
    checkAnimation(frames, options);
    this.frames = frames;
    this.options = options;
  }

  /**
   * Encodes the animation as a GIF file, each frame with its own palette of up to 256 colours. Takes 0.04 to 0.3 µs per
   * pixel and frame.
   *
   * @returns the file's bytes
   */
  gif(): Promise<Uint8Array> {
    return encodeGif(this.frames, this.options);
  }

  /** Displays the animation in a Jupyter notebook. */
  async [JUPYTER_DISPLAY](): Promise<JupyterMedia> {
    const { frames } = this;
    const description = `animation of ${frames.length} ${frames.length === 1 ? "frame" : "frames"}`;
    const source = `data:image/gif;base64,${(await this.gif()).toBase64()}`;
    // HTML, because nbconvert and code hosts show no outputs of the type image/gif.
    return { "text/html": `<img alt="${description}" src="${source}">`, "text/plain": description };
  }
}

/**
 * Checks frames and timing.
 *
 * @returns the first frame
 * @throws {ConfigError} naming the frame or the option that is wrong
 */
function checkAnimation(frames: readonly Images[], options: GifOptions): Images {
  const { delayMs = 100, holdLastMs = 2000 } = options;
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
  return first;
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
