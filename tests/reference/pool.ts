/** Pooling by definition, in float64 loops over plain logical arrays: x [N,H,W,C], y [N,H',W',C]. */

export interface Pool {
  batch: number;
  inHeight: number;
  inWidth: number;
  outHeight: number;
  outWidth: number;
  channels: number;
  windowHeight: number;
  windowWidth: number;
  stride: number;
  padTop: number;
  padLeft: number;
}

/** Values of each window that lie inside the image, in the order of y. */
function* windows(p: Pool, x: ArrayLike<number>): Generator<number[]> {
  for (let n = 0; n < p.batch; n++) {
    for (let i = 0; i < p.outHeight; i++) {
      for (let j = 0; j < p.outWidth; j++) {
        for (let c = 0; c < p.channels; c++) {
          const values: number[] = [];
          for (let u = 0; u < p.windowHeight; u++) {
            for (let v = 0; v < p.windowWidth; v++) {
              const [row, column] = [i * p.stride + u - p.padTop, j * p.stride + v - p.padLeft];
              if (row < 0 || row >= p.inHeight || column < 0 || column >= p.inWidth) continue;
              values.push(x[((n * p.inHeight + row) * p.inWidth + column) * p.channels + c]);
            }
          }
          yield values;
        }
      }
    }
  }
}

export function maxPoolReference(p: Pool, x: ArrayLike<number>): Float64Array {
  return Float64Array.from(windows(p, x), (values) => Math.max(...values));
}

/** Pixels outside of the image do not count. */
export function averagePoolReference(p: Pool, x: ArrayLike<number>): Float64Array {
  return Float64Array.from(windows(p, x), (values) => values.reduce((sum, v) => sum + v, 0) / values.length);
}
