/** Nearest-neighbour upsampling by two, by definition: x [N, H, W, C], y [N, 2H, 2W, C]. */

export type Shape4 = readonly [number, number, number, number];

/** Calls `visit` with the flat indices of every pair x -> y. */
function eachCopy([batch, height, width, channels]: Shape4, visit: (x: number, y: number) => void): void {
  for (let n = 0; n < batch; n++) {
    for (let h = 0; h < 2 * height; h++) {
      for (let w = 0; w < 2 * width; w++) {
        for (let c = 0; c < channels; c++) {
          const from = ((n * height + (h >> 1)) * width + (w >> 1)) * channels + c;
          visit(from, ((n * 2 * height + h) * 2 * width + w) * channels + c);
        }
      }
    }
  }
}

/** y. */
export function upsampleReference(shape: Shape4, x: ArrayLike<number>): Float64Array {
  const y = new Float64Array(4 * x.length);
  eachCopy(shape, (i, j) => y[j] = x[i]);
  return y;
}

/** Gradient of sum(y * dy) with respect to x of that shape. */
export function upsampleGradientReference(shape: Shape4, dy: ArrayLike<number>): Float64Array {
  const dx = new Float64Array(dy.length / 4);
  eachCopy(shape, (i, j) => dx[i] += dy[j]);
  return dx;
}
