/**
 * Convolution by definition, in float64 loops over plain logical arrays: x [N,H,W,I], weight [kh,kw,I,O], y [N,H',W',O].
 */

export interface Conv {
  batch: number;
  inHeight: number;
  inWidth: number;
  inChannels: number;
  outHeight: number;
  outWidth: number;
  outChannels: number;
  kernelHeight: number;
  kernelWidth: number;
  stride: number;
  padTop: number;
  padLeft: number;
}

type Numbers = ArrayLike<number>;

/** Calls `visit` with the flat indices of every product x * w -> y of the convolution. */
function eachProduct(c: Conv, visit: (x: number, w: number, y: number) => void): void {
  for (let n = 0; n < c.batch; n++) {
    for (let oy = 0; oy < c.outHeight; oy++) {
      for (let ox = 0; ox < c.outWidth; ox++) {
        for (let ky = 0; ky < c.kernelHeight; ky++) {
          for (let kx = 0; kx < c.kernelWidth; kx++) {
            const iy = oy * c.stride + ky - c.padTop;
            const ix = ox * c.stride + kx - c.padLeft;
            if (iy < 0 || iy >= c.inHeight || ix < 0 || ix >= c.inWidth) continue;
            for (let i = 0; i < c.inChannels; i++) {
              const x = ((n * c.inHeight + iy) * c.inWidth + ix) * c.inChannels + i;
              for (let o = 0; o < c.outChannels; o++) {
                const w = ((ky * c.kernelWidth + kx) * c.inChannels + i) * c.outChannels + o;
                visit(x, w, ((n * c.outHeight + oy) * c.outWidth + ox) * c.outChannels + o);
              }
            }
          }
        }
      }
    }
  }
}

/** y = x * weight, without bias. */
export function conv2dReference(c: Conv, x: Numbers, weight: Numbers): Float64Array {
  const out = new Float64Array(c.batch * c.outHeight * c.outWidth * c.outChannels);
  eachProduct(c, (xi, wi, yi) => out[yi] += x[xi] * weight[wi]);
  return out;
}

/** dx of sum(dy * y). */
export function conv2dInputGradientReference(c: Conv, dy: Numbers, weight: Numbers): Float64Array {
  const dx = new Float64Array(c.batch * c.inHeight * c.inWidth * c.inChannels);
  eachProduct(c, (xi, wi, yi) => dx[xi] += dy[yi] * weight[wi]);
  return dx;
}

/** dw of sum(dy * y). */
export function conv2dWeightGradientReference(c: Conv, x: Numbers, dy: Numbers): Float64Array {
  const dw = new Float64Array(c.kernelHeight * c.kernelWidth * c.inChannels * c.outChannels);
  eachProduct(c, (xi, wi, yi) => dw[wi] += dy[yi] * x[xi]);
  return dw;
}

/** Sum of rows: data [rows, columns] -> [columns]; the bias gradient. */
export function columnSums(data: Numbers, columns: number): Float64Array {
  const sums = new Float64Array(columns);
  for (let i = 0; i < data.length; i++) sums[i % columns] += data[i];
  return sums;
}
