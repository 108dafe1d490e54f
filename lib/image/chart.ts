/**
 * Line charts as PNG files, for loss curves.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";

/** One curve of a chart. */
export interface ChartSeries {
  /** Unique name, shown in the legend. */
  name: string;
  /** Finite points in order of x; may be empty. */
  points: readonly { x: number; y: number }[];
}

/** Options of {@linkcode lossChart}. */
export interface ChartOptions {
  /** Title above the chart. */
  title: string;
  /** Label of the horizontal axis, with its unit. */
  xLabel: string;
  /** Label of the vertical axis, with its unit. */
  yLabel: string;
  /** Logarithmic vertical axis; all y must be above 0. Default false. */
  logY?: boolean;
}

/** Size of charts in pixels. */
export const CHART_SIZE: { readonly width: number; readonly height: number } = { width: 900, height: 560 };

/** Colours of the series in order, as `#rrggbb`; colour-blind safe (Okabe and Ito, "Color Universal Design", 2008). */
export const CHART_COLORS: readonly string[] = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
];

// Imported by constants, so that they are downloaded when the first chart is drawn: Deno downloads the packages of a
// literal import() (77 for Vega) when the program starts.
const VEGA: string = "npm:vega@6.4.0";
const VEGA_LITE: string = "npm:vega-lite@6.5.0";
const RESVG: string = "npm:@resvg/resvg-wasm@2.6.2";
const FONT: string = "npm:@expo-google-fonts/pt-sans@0.4.1";
/** Packages that draw charts. */
export const CHART_PACKAGES: readonly string[] = [VEGA, VEGA_LITE, RESVG, FONT];
const FONT_FAMILY = "PT Sans";
const FONT_FILES = ["400Regular/PTSans_400Regular.ttf", "700Bold/PTSans_700Bold.ttf"];

/** Points up to which a series has a mark at each; more marks would hide the line. */
const MARKED_POINTS = 60;
const TEXT_COLOR = "#333333";
const GRID_COLOR = "#e4e4e4";

/** The used part of Vega. */
interface Vega {
  parse(spec: unknown): unknown;
  View: new (
    dataflow: unknown,
    options: { renderer: "none" },
  ) => { toSVG(): Promise<string>; finalize(): void };
}

interface VegaLite {
  compile(spec: unknown): { spec: unknown };
}

/** The used part of resvg. */
interface Resvg {
  initWasm(module: Uint8Array): Promise<void>;
  Resvg: new (svg: string, options: unknown) => {
    render(): { asPng(): Uint8Array; free(): void };
    free(): void;
  };
}

type Renderer = (svg: string) => Uint8Array;
let renderer: Promise<Renderer> | undefined;

/**
 * Draws a line chart of 900 x 560 pixels with a grid and a legend. The vertical axis starts at the smallest value, not at
 * zero. The first call downloads the drawing libraries (about 6 MB) unless Deno has cached them.
 *
 * @param series 1 to 6 curves, such as training and validation loss by epoch; at least one point in total
 * @param options title and axes
 * @returns the bytes of a PNG file
 * @throws {ConfigError} naming the series and point that cannot be drawn
 */
export async function lossChart(series: readonly ChartSeries[], options: ChartOptions): Promise<Uint8Array> {
  checkSeries(series, options.logY ?? false);
  const [vega, vegaLite]: [Vega, VegaLite] = await Promise.all([import(VEGA), import(VEGA_LITE)]);
  const view = new vega.View(vega.parse(vegaLite.compile(chartSpec(series, options)).spec), {
    renderer: "none",
  });
  const svg = await view.toSVG();
  view.finalize();
  renderer ??= loadRenderer();
  return (await renderer)(svg);
}

function checkSeries(series: readonly ChartSeries[], logY: boolean): void {
  if (series.length < 1 || series.length > CHART_COLORS.length) {
    throw new ConfigError("series.length", series.length, `1 to ${CHART_COLORS.length} series`);
  }
  if (series.every(({ points }) => points.length === 0)) {
    throw new ConfigError("series", "no points", "at least one point");
  }
  for (const [index, { name, points }] of series.entries()) {
    if (series.findIndex((other) => other.name === name) !== index) {
      throw new ConfigError(`series[${index}].name`, name, "a name that no other series has");
    }
    for (const [position, { x, y }] of points.entries()) {
      const field = `series[${index}].points[${position}]`;
      if (!Number.isFinite(x)) throw new ConfigError(`${field}.x`, x, "a finite number");
      if (!Number.isFinite(y)) throw new ConfigError(`${field}.y`, y, "a finite number");
      if (logY && y <= 0) throw new ConfigError(`${field}.y`, y, "a number above 0 on a logarithmic axis");
    }
  }
}

/** Vega-Lite specification with a layer of lines and a layer of marks. */
function chartSpec(series: readonly ChartSeries[], options: ChartOptions): unknown {
  const { title, xLabel, yLabel, logY = false } = options;
  const rows = series.flatMap(({ name, points }) =>
    points.map(({ x, y }) => ({ name, x, y, marked: points.length <= MARKED_POINTS }))
  );
  const wholeX = rows.every(({ x }) => Number.isInteger(x));
  const names = series.map(({ name }) => name);
  const colors = CHART_COLORS.slice(0, series.length);
  const logAxis = { values: logTicks(rows.map(({ y }) => y)), format: ".2~g" };
  return {
    ...CHART_SIZE,
    padding: { left: 16, top: 14, right: 24, bottom: 14 },
    autosize: { type: "fit", contains: "padding" },
    background: "white",
    title: { text: title, anchor: "start", fontSize: 22, offset: 16 },
    data: { values: rows },
    encoding: {
      x: {
        field: "x",
        type: "quantitative",
        title: xLabel,
        scale: { zero: false, nice: false, padding: 16 },
        axis: { format: "~r", tickCount: 10, ...(wholeX ? { tickMinStep: 1, format: ",d" } : {}) },
      },
      y: {
        field: "y",
        type: "quantitative",
        title: yLabel,
        scale: { ...(logY ? { type: "log" } : { zero: false }), nice: false, padding: 16 },
        axis: logY ? logAxis : { tickCount: 8 },
      },
      color: {
        field: "name",
        type: "nominal",
        scale: { domain: names, range: colors },
        legend: { orient: "top", title: null },
      },
    },
    layer: [
      { mark: { type: "line", strokeWidth: 2.5, strokeJoin: "round" } },
      {
        transform: [{ filter: "datum.marked" }],
        mark: { type: "point", filled: true, size: 80, opacity: 1 },
        encoding: { shape: { field: "name", type: "nominal", scale: { domain: names } } },
      },
    ],
    config: {
      font: FONT_FAMILY,
      view: { stroke: null },
      title: { color: TEXT_COLOR },
      axis: {
        domainColor: "#888888",
        gridColor: GRID_COLOR,
        labelColor: TEXT_COLOR,
        labelFontSize: 15,
        tickColor: "#888888",
        titleColor: TEXT_COLOR,
        titleFontSize: 16,
        titleFontWeight: "normal",
        titlePadding: 10,
      },
      legend: {
        columnPadding: 24,
        labelColor: TEXT_COLOR,
        labelFontSize: 16,
        labelLimit: 400,
        offset: 12,
        symbolSize: 120,
      },
    },
  };
}

/** Ticks of a logarithmic axis: 1, 3 or 7 per decade, to have 4 to 12 in total where possible. */
function logTicks(values: readonly number[]): number[] {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const ticks = (digits: readonly number[]) => {
    const found: number[] = [];
    for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) {
      found.push(...digits.map((digit) => Number(`${digit}e${power}`)));
    }
    return found.filter((tick) => tick >= least && tick <= most);
  };
  const [many, some, few] = [ticks([1, 1.5, 2, 3, 4, 5, 7]), ticks([1, 2, 5]), ticks([1])];
  if (many.length < 2) return [...new Set([least, most])];
  return some.length < 4 ? many : some.length > 12 ? few : some;
}

async function loadRenderer(): Promise<Renderer> {
  // Importing one file of a package downloads it; import.meta.resolve then gives paths to its other files.
  await import(`${FONT}/metadata.json`, { with: { type: "json" } });
  const resvg: Resvg = await import(RESVG);
  const readPackageFile = (name: string) => Deno.readFile(new URL(import.meta.resolve(name)));
  const fonts = await Promise.all(FONT_FILES.map((file) => readPackageFile(`${FONT}/${file}`)));
  await resvg.initWasm(await readPackageFile(`${RESVG}/index_bg.wasm`));
  return (svg) => {
    const image = new resvg.Resvg(svg, { font: { fontBuffers: fonts, defaultFontFamily: FONT_FAMILY } });
    const rendered = image.render();
    const png = rendered.asPng();
    rendered.free();
    image.free();
    return png;
  };
}
