/**
 * The page `docs/growth.md`: a table and a fit for each series of growth measurements.
 *
 * @module
 */
import type { Growth, GrowthPoint, GrowthSeries } from "./growth.ts";
import { markdownTable, wrap } from "./markdown.ts";
import { headLines } from "./report.ts";
import { figure } from "../terminal/table.ts";

/** Power law and line fitted to a series. */
export interface GrowthFit {
  /** Exponent of cost over load; 1 is linear. */
  readonly power: number;
  /** Exponent of the last two points, where fixed costs weigh least. */
  readonly lastPower: number;
  /** Intercept in milliseconds of the line with the smallest relative errors; `marginal` is its slope per unit of load. */
  readonly fixed: number;
  readonly marginal: number;
  /** Largest relative error of a point. */
  readonly error: number;
}

/** Largest distance of a linear exponent from 1. */
const LINEAR_WITHIN = 0.1;

/** Fits a series; undefined for fewer than two points. */
export function fitGrowth(points: readonly GrowthPoint[]): GrowthFit | undefined {
  if (points.length < 2) return undefined;
  const logs = points.map(({ load, milliseconds }) => [Math.log(load), Math.log(milliseconds), 1] as const);
  const weighted = points.map(({ load, milliseconds }) => [load, milliseconds, milliseconds ** -2] as const);
  const { slope: marginal, offset: fixed } = fitLine(weighted);
  const errors = points.map(({ load, milliseconds }) =>
    Math.abs(fixed + marginal * load - milliseconds) / milliseconds
  );
  return {
    power: fitLine(logs).slope,
    lastPower: fitLine(logs.slice(-2)).slope,
    fixed,
    marginal,
    error: Math.max(...errors),
  };
}

/** Weighted least squares over `[x, y, weight]`. */
function fitLine(points: readonly (readonly [number, number, number])[]): { slope: number; offset: number } {
  const sum = (term: (x: number, y: number) => number) =>
    points.reduce((total, [x, y, weight]) => total + weight * term(x, y), 0);
  const all = sum(() => 1);
  const [x, y] = [sum((x) => x) / all, sum((_, y) => y) / all];
  const slope = sum((px, py) => (px - x) * (py - y)) / sum((px) => (px - x) ** 2);
  return { slope, offset: y - slope * x };
}

/** The page as Markdown, as `deno fmt` formats it. */
export function growthPage({ environment, fmaGflops, series }: Growth): string {
  const blocks = [
    "# Growth of cost",
    wrap(
      "Written by the benchmark on one adapter; each table goes as far as time and memory allow. Milliseconds are " +
        `medians, scaled to the multiply-add rate at the beginning of the run (${
          figure(fmaGflops)
        } GFLOP/s) by the ` +
        'rate measured next to each of them, which cancels other load on the machine. "power" is the exponent of the ' +
        "growth of time with load from the row above (1 is linear).",
    ),
    wrap(
      "Small work usually grows less than linearly, as the fixed cost of a dispatch and the lanes that small tensors " +
        "leave idle matter less and less. Growth is more than linear where tensors outgrow a cache.",
    ),
    "```sh\ndeno task bench --growth docs/growth.md\n```",
    ...headLines(environment).map((line) => wrap(line)),
    ...series.flatMap(seriesBlocks),
  ];
  return blocks.join("\n\n") + "\n";
}

function seriesBlocks(series: GrowthSeries): string[] {
  const { title, points, end } = series;
  const why = end === undefined ? [] : [wrap(`Ends here: ${end.replaceAll("\n", " ")}.`)];
  if (points.length === 0) return [`## ${title}`, ...why];
  return [`## ${title}`, markdownTable(...growthTable(series)), wrap(verdict(series)), ...why];
}

/** Column heads and rows of a series' table. */
export function growthTable({ size, load, points }: GrowthSeries): [string[], string[][]] {
  const sized = points.some((point) => point.load !== point.size);
  const heads = [size, ...(sized ? [load] : []), "ms", `ms/${load}`, `ms for one ${load} more`, "power"];
  const rows = points.map((point, i): string[] => {
    const before = i === 0 ? undefined : points[i - 1];
    const more = before && (point.milliseconds - before.milliseconds) / (point.load - before.load);
    const power = before && fitGrowth([before, point])!.power;
    return [
      String(point.size),
      ...(sized ? [figure(point.load)] : []),
      figure(point.milliseconds),
      figure(point.milliseconds / point.load),
      figure(more),
      power === undefined ? "" : power.toFixed(2),
    ];
  });
  return [heads, rows];
}

/** Conclusion about a series, in sentences. */
export function verdict({ size, load, points }: GrowthSeries): string {
  const fit = fitGrowth(points);
  if (!fit) return "One point says nothing about growth.";
  const { power, lastPower, fixed, marginal, error } = fit;
  // A line through two points has no error to report.
  const within = points.length > 2 ? `, within ${figure(100 * error)} %` : "";
  const line = `${figure(fixed)} ms and ${figure(marginal)} ms more for each ${load}${within}`;
  const sized = points.some((point) => point.load !== point.size);
  const ofSize = sized && fitGrowth(points.map((point) => ({ ...point, load: point.size })))!.power;
  const of = ofSize ? ` Powers are of the ${load}; of the ${size} it is ${ofSize.toFixed(2)}.` : "";
  return `${growth(power, points.length > 2 ? lastPower : undefined)}.${of} Fitted: ${line}.`;
}

/** Growth over all rows and, if there are more than two, in the last one. */
function growth(power: number, lastPower?: number): string {
  const all = growthKind(power);
  if (lastPower === undefined) return `${all}: power ${power.toFixed(2)}`;
  const last = growthKind(lastPower);
  if (all === last) {
    return `${all}: power ${power.toFixed(2)} over all rows, ${lastPower.toFixed(2)} in the last`;
  }
  return `${all} over all rows (power ${power.toFixed(2)}), ${last.toLowerCase()} in the last (${
    lastPower.toFixed(2)
  })`;
}

function growthKind(power: number): string {
  if (Math.abs(power - 1) <= LINEAR_WITHIN) return "Linear";
  return power < 1 ? "Less than linear" : "More than linear";
}
