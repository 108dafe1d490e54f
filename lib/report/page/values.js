/**
 * Numbers of the charts: smoothing, the nearest point, and their texts.
 *
 * @module
 */

/**
 * Exponential moving average of a curve, without the bias of its start towards 0.
 *
 * @param y values
 * @param weight of what came before, 0 to below 1
 */
export function smoothed(y, weight) {
  if (weight === 0) return y;
  let [average, total] = [0, 0];
  return y.map((value) => {
    average = weight * average + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return average / total;
  });
}

/** Index of the value nearest to `wanted` in an ascending list. */
export function nearest(sorted, wanted) {
  let [low, high] = [0, sorted.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle;
    else high = middle;
  }
  return wanted - sorted[low] <= sorted[high] - wanted ? low : high;
}

/** A value with four digits, as the tables have it. */
export function valueText(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (size < 1e-3) return value.toExponential(2);
  return size >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(4);
}

/** Label of a tick: short, without rounding errors. */
export function tickText(value) {
  if (value === null) return "";
  const size = Math.abs(value);
  if (size > 0 && size < 1e-3) return value.toExponential().replace(/(\.\d\d)\d+/, "$1");
  return Number(value.toPrecision(6)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}

/** Ends of a logarithmic axis: those of the values with a margin, not whole decades. */
export function logRange(_plot, least, most) {
  if (least === null || !(least > 0)) return [0.1, 1];
  const margin = Math.max((most / least) ** 0.04, 1.02);
  return [least / margin, most * margin];
}

/** Three to twelve ticks of a logarithmic axis where possible: evenly spaced values if it spans little, else round ones. */
export function logTicks(least, most) {
  if (most / least < 3) {
    const rough = (most - least) / 8;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((digit) => digit * power >= rough) * power;
    const first = Math.ceil(least / step);
    return Array.from({ length: Math.floor(most / step) - first + 1 }, (_, i) => (first + i) * step);
  }
  const choices = [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1]].map((digits) => ticksOf(digits, least, most));
  return choices.find((ticks) => ticks.length <= 12) ?? choices.at(-1);
}

/** Values between two bounds that are one of the digits times a power of ten. */
function ticksOf(digits, least, most) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) {
    for (const digit of digits) ticks.push(Number(`${digit}e${power}`));
  }
  return ticks.filter((tick) => tick >= least && tick <= most);
}
