/** Bilinear resize in float64 loops: images [N,H,W,3] of bytes to [N,H',W',3]. */

export interface Resize {
  batch: number;
  inHeight: number;
  inWidth: number;
  outHeight: number;
  outWidth: number;
  /** 0.5: pixels are squares with their value in the middle; 0: the value is at the corner. */
  centre: number;
  scale: number;
  shift: number;
}

export function resizeImagesReference(r: Resize, images: ArrayLike<number>): Float64Array {
  const out: number[] = [];
  for (let n = 0; n < r.batch; n++) {
    for (let i = 0; i < r.outHeight; i++) {
      for (let j = 0; j < r.outWidth; j++) {
        const rows = neighbours(i, r.inHeight, r.outHeight, r.centre);
        const columns = neighbours(j, r.inWidth, r.outWidth, r.centre);
        for (let c = 0; c < 3; c++) {
          let sum = 0;
          for (const [row, rowWeight] of rows) {
            for (const [column, columnWeight] of columns) {
              sum += rowWeight * columnWeight * images[((n * r.inHeight + row) * r.inWidth + column) * 3 + c];
            }
          }
          out.push(r.scale * sum + r.shift);
        }
      }
    }
  }
  return Float64Array.from(out);
}

/** The two pixels around a coordinate of the result, with their weights. */
function neighbours(i: number, from: number, to: number, centre: number): [pixel: number, weight: number][] {
  const source = Math.max(0, (i + centre) * from / to - centre);
  const near = Math.floor(source);
  return [[near, 1 - (source - near)], [Math.min(near + 1, from - 1), source - near]];
}
