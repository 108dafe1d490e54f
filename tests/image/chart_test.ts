import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { CHART_COLORS, CHART_SIZE, lossChart } from "../../lib/image/chart.ts";
import { type DecodedPng, decodePng } from "../support/read_png.ts";

const LABELS = { title: "Loss", xLabel: "epoch", yLabel: "mean squared error" };

function curve(name: string, ...values: number[]): { name: string; points: { x: number; y: number }[] } {
  return { name, points: values.map((y, index) => ({ x: index + 1, y })) };
}

/** Positions of the pixels of one colour, below the legend. */
function pixelsOf(png: DecodedPng, color: string): { x: number; y: number }[] {
  const wanted = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  const found = [];
  for (let i = png.width * 80; i < png.width * png.height; i++) {
    if (wanted.every((value, channel) => png.rgb[i * 3 + channel] === value)) {
      found.push({ x: i % png.width, y: Math.floor(i / png.width) });
    }
  }
  return found;
}

function heights(pixels: { y: number }[]): { top: number; bottom: number } {
  return { top: Math.min(...pixels.map(({ y }) => y)), bottom: Math.max(...pixels.map(({ y }) => y)) };
}

Deno.test("a chart has its size and both curves, each falling from left to right", async () => {
  const series = [curve("training", 0.9, 0.5, 0.4), curve("validation", 0.8, 0.45, 0.38)];
  const png = decodePng(await lossChart(series, LABELS));
  assert.deepEqual({ width: png.width, height: png.height }, CHART_SIZE);
  for (const color of CHART_COLORS.slice(0, 2)) {
    const pixels = pixelsOf(png, color);
    assert.ok(pixels.length > 500, `${color}: ${pixels.length} pixels`);
    const { top, bottom } = heights(pixels);
    const high = pixels.find(({ y }) => y === top)!;
    const low = pixels.find(({ y }) => y === bottom)!;
    assert.ok(high.x < low.x);
  }
});

Deno.test("the vertical axis does not start at zero when the data is far from it", async () => {
  const png = decodePng(await lossChart([curve("training", 10.03, 10.02, 10.01)], LABELS));
  const { top, bottom } = heights(pixelsOf(png, CHART_COLORS[0]));
  assert.ok(bottom - top > 300, `the curve spans ${bottom - top} of 560 pixels`);
});

Deno.test("a series of a single point is visible", async () => {
  const png = decodePng(await lossChart([curve("training", 0.3), curve("validation")], LABELS));
  assert.ok(pixelsOf(png, CHART_COLORS[0]).length > 30);
});

Deno.test("a logarithmic axis spreads what a linear one crowds", async () => {
  const series = [curve("training", 1, 0.1, 0.01)];
  const middle = async (logY: boolean) => {
    const pixels = pixelsOf(decodePng(await lossChart(series, { ...LABELS, logY })), CHART_COLORS[0]);
    const { top, bottom } = heights(pixels);
    const second = pixels.filter(({ x }) => Math.abs(x - 487) < 4);
    return (second.reduce((sum, { y }) => sum + y, 0) / second.length - top) / (bottom - top);
  };
  assert.ok(Math.abs(await middle(true) - 0.5) < 0.05);
  assert.ok(await middle(false) > 0.85);
});

Deno.test("series that cannot be drawn are refused by name", async (t) => {
  const seven = Array.from({ length: 7 }, (_, index) => curve(`run ${index}`, 1));
  const cases: [string, () => Promise<unknown>, string][] = [
    ["no series", () => lossChart([], LABELS), "series.length"],
    ["more series than colours", () => lossChart(seven, LABELS), "series.length"],
    ["no points at all", () => lossChart([curve("training")], LABELS), "series"],
    ["two series of one name", () => lossChart([curve("a", 1), curve("a", 2)], LABELS), "series[1].name"],
    ["NaN", () => lossChart([curve("a", 1, NaN)], LABELS), "series[0].points[1].y"],
    [
      "infinite x",
      () => lossChart([{ name: "a", points: [{ x: Infinity, y: 1 }] }], LABELS),
      "series[0].points[0].x",
    ],
    [
      "zero on a log axis",
      () => lossChart([curve("a", 1, 0)], { ...LABELS, logY: true }),
      "series[0].points[1].y",
    ],
  ];
  for (const [name, call, field] of cases) {
    await t.step(
      name,
      () => assert.rejects(call, (error) => error instanceof ConfigError && error.field === field),
    );
  }
});
