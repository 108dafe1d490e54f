/** Concatenation along channels by definition: a [rows, A], b [rows, B], y [rows, A + B]. */

type Numbers = ArrayLike<number>;

/** y = [a, b] in every row. */
export function concatReference(a: Numbers, aChannels: number, b: Numbers, bChannels: number): Float64Array {
  const rows = a.length / aChannels;
  const y: number[] = [];
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < aChannels; c++) y.push(a[row * aChannels + c]);
    for (let c = 0; c < bChannels; c++) y.push(b[row * bChannels + c]);
  }
  return Float64Array.from(y);
}

/** Channels first … first + count - 1 of every row. */
export function sliceReference(x: Numbers, channels: number, first: number, count: number): Float64Array {
  const y: number[] = [];
  for (let row = 0; row < x.length / channels; row++) {
    for (let c = first; c < first + count; c++) y.push(x[row * channels + c]);
  }
  return Float64Array.from(y);
}
