/**
 * Mask of an edit: the pixels that are drawn anew.
 *
 * @module
 */

/** A grid of pixels that are painted or not. */
export class Mask {
  /** @param {{ width: number, height: number }} size */
  constructor({ width, height }) {
    this.width = width;
    this.height = height;
    /** Rows of pixels, 1 where painted. */
    this.painted = new Uint8Array(width * height);
  }

  get empty() {
    return !this.painted.includes(1);
  }

  clear() {
    this.painted.fill(0);
  }

  /**
   * Pixels under a round brush; at least the one in its centre.
   *
   * @param {{ x: number, y: number }} at centre in pixels; the first pixel is from 0 to 1
   * @param {number} brush diameter in pixels
   * @returns {number[]}
   */
  under({ x, y }, brush) {
    const found = [];
    const radius = brush / 2;
    for (let row = 0; row < this.height; row++) {
      for (let column = 0; column < this.width; column++) {
        const centre = Math.floor(x) === column && Math.floor(y) === row;
        const inside = Math.hypot(column + 0.5 - x, row + 0.5 - y) < radius;
        if (centre || inside) found.push(row * this.width + column);
      }
    }
    return found;
  }

  /**
   * Moves the brush in a straight line.
   *
   * @param {{ x: number, y: number }} from
   * @param {{ x: number, y: number }} to
   * @param {number} brush diameter in pixels
   * @param {boolean} paint false erases
   */
  stroke(from, to, brush, paint) {
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to.x - from.x, to.y - from.y)));
    for (let step = 0; step <= steps; step++) {
      const part = step / steps;
      const at = { x: from.x + part * (to.x - from.x), y: from.y + part * (to.y - from.y) };
      for (const pixel of this.under(at, brush)) this.painted[pixel] = paint ? 1 : 0;
    }
  }
}
