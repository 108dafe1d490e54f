/**
 * RGB canvas for composing images and text.
 *
 * @module
 */

/** An RGB picture. */
export class Canvas {
  /** Width in pixels. */
  readonly width: number;
  /** Height in pixels. */
  readonly height: number;
  /** RGB values 0 to 255, shape `[height, width, 3]`. */
  readonly pixels: Uint8Array;

  /**
   * @param width in pixels
   * @param height in pixels
   * @param grey brightness of the background, 0 to 255
   */
  constructor(width: number, height: number, grey: number) {
    this.width = width;
    this.height = height;
    this.pixels = new Uint8Array(width * height * 3).fill(grey);
  }

  /** Fills a rectangle with one grey, clipped to the canvas. */
  fill(x: number, y: number, width: number, height: number, grey: number): void {
    const left = Math.max(0, x);
    const right = Math.min(this.width, x + width);
    if (left >= right) return;
    for (let row = Math.max(0, y); row < Math.min(this.height, y + height); row++) {
      this.pixels.fill(grey, (row * this.width + left) * 3, (row * this.width + right) * 3);
    }
  }

  /**
   * Draws an RGB image, each of its pixels a square of `scale` x `scale` (nearest neighbour). The enlarged image must lie
   * inside the canvas.
   */
  put(image: Uint8Array, width: number, height: number, x: number, y: number, scale: number): void {
    const line = new Uint8Array(width * scale * 3);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width * scale; column++) {
        const source = (row * width + Math.floor(column / scale)) * 3;
        line[column * 3] = image[source]!;
        line[column * 3 + 1] = image[source + 1]!;
        line[column * 3 + 2] = image[source + 2]!;
      }
      for (let repeat = 0; repeat < scale; repeat++) {
        this.pixels.set(line, ((y + row * scale + repeat) * this.width + x) * 3);
      }
    }
  }
}
