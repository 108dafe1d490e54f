/**
 * A chart of uPlot with a legend that shows the values at the cursor.
 *
 * @module
 */
import { button, colorOf, element } from "./dom.js";
import { logRange, logTicks, nearest, smoothed, tickText, valueText } from "./values.js";

const HEIGHT = { first: 340, other: 220 };
/** Dash patterns of curves, in pixels. */
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
/** Widths on paper: A4 and Letter with the margins of the page's style. */
const PAPER_WIDTH = { first: 680, other: 324 };
const FONT = '12px system-ui, "Segoe UI", Roboto, sans-serif';
/** Widest curve with a mark at each point. */
const MAX_MARKS = 120;
/** Ticks of a logarithmic axis, all of them with labels. */
const LOG_AXIS = {
  splits: (_plot, _axis, least, most) => logTicks(least, most),
  filter: (_plot, splits) => splits,
};

/** Draws one chart in its figure. */
export class ChartView {
  /**
   * @param figure element to draw in
   * @param chart its definition
   * @param view state shared by all charts: axis, zoom and smoothing
   */
  constructor(figure, chart, view) {
    this.figure = figure;
    this.chart = chart;
    this.view = view;
    this.log = chart.log;
    this.hidden = new Set();
    this.place = element("div", {
      class: "plot",
      tabindex: "0",
      role: "img",
      "aria-label": `${chart.title} of ${
        chart.curves.map(({ name }) => name).join("; ")
      }. Arrow keys read values, plus and minus zoom.`,
    });
    this.legend = element("ul", { class: "legend" });
    this.position = element("span", { class: "position" });
    this.figure.querySelector("figcaption").append(this.position);
    this.figure.append(this.place, this.legend);
    this.addLogSwitch();
    this.addLegend();
    this.place.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.resize()).observe(this.place);
  }

  addLogSwitch() {
    const box = element("input", { type: "checkbox" });
    box.checked = this.log;
    box.addEventListener("change", () => {
      this.log = box.checked;
      this.draw();
    });
    const positive = this.chart.curves.every(({ y }) => y.every((value) => value > 0));
    if (positive) {
      this.figure.querySelector("figcaption").append(element("label", { class: "log" }, box, "log scale"));
    }
  }

  addLegend() {
    this.outputs = this.chart.curves.map((curve, i) => {
      const output = element("span", { class: "value" });
      const key = element("span", { class: "key", "data-color": curve.color, "data-dash": curve.dash });
      if (curve.look === "faint") key.classList.add("faint");
      const entry = button("", `Show or hide ${curve.name}`, () => {
        if (!this.hidden.delete(i)) this.hidden.add(i);
        entry.setAttribute("aria-pressed", String(!this.hidden.has(i)));
        this.plot.setSeries(i + 1, { show: !this.hidden.has(i) });
      });
      entry.setAttribute("aria-pressed", "true");
      entry.append(key, element("span", { class: "name" }, curve.name), output);
      this.legend.append(element("li", {}, entry));
      return output;
    });
  }

  /** Draws the chart anew. */
  draw() {
    this.plot?.destroy();
    const { axis, smoothing } = this.view;
    const { curves, noisy } = this.chart;
    this.points = curves.map(({ run, x, y, look }) => ({
      x: x.map((step) => axis.valueOf(run, step)),
      y: noisy && look !== "marked" ? smoothed(y, smoothing) : y,
    }));
    const data = uPlot.join(this.points.map(({ x, y }) => [x, y]));
    this.plot = new uPlot(this.options(), data, this.place);
    this.showValues();
  }

  options() {
    const { curves } = this.chart;
    const line = { stroke: colorOf("--soft"), font: FONT, labelFont: FONT, labelSize: 18, labelGap: 2 };
    const grid = { stroke: colorOf("--line"), width: 1 };
    const decimal = (_plot, splits) => splits.map(tickText);
    return {
      ...this.size(),
      legend: { show: false },
      padding: [8, 24, 0, 0],
      scales: {
        x: { time: false, range: () => this.view.range() },
        y: this.log ? { distr: 3, range: logRange } : { distr: 1 },
      },
      axes: [
        { ...line, grid, ticks: grid, values: decimal, size: 34, label: this.view.axis.label },
        {
          ...line,
          grid,
          ticks: grid,
          values: decimal,
          size: 64,
          label: this.chart.label,
          ...this.log && LOG_AXIS,
        },
      ],
      series: [{}, ...curves.map((curve, i) => this.series(curve, i))],
      cursor: {
        drag: { x: true, y: false },
        sync: { key: "report", scales: ["x", null] },
        points: { show: false },
        bind: { dblclick: () => () => this.view.zoom(null) },
      },
      hooks: {
        setCursor: [() => this.showValues()],
        setSelect: [(plot) => this.select(plot)],
      },
    };
  }

  series({ look, color, dash, x }, i) {
    const stroke = colorOf(`--series-${color}`);
    return {
      show: !this.hidden.has(i),
      spanGaps: true,
      stroke: look === "faint" ? `${stroke}99` : stroke,
      width: look === "faint" ? 1 : 2,
      dash: DASHES[dash % DASHES.length],
      points: { show: look === "marked" && x.length <= MAX_MARKS, size: 6, fill: stroke },
    };
  }

  /** Width and height in pixels. */
  size() {
    const kind = this.figure.classList.contains("first") ? "first" : "other";
    return { width: this.view.onPaper ? PAPER_WIDTH[kind] : this.place.clientWidth, height: HEIGHT[kind] };
  }

  /** Zooms all charts to what was selected in this one. */
  select(plot) {
    const { left, width } = plot.select;
    if (width < 3) return;
    const ends = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.view.zoom(ends);
  }

  /** Follows the shared zoom. */
  zoomed() {
    const [min, max] = this.view.range();
    this.plot.setScale("x", { min, max });
  }

  resize() {
    const size = this.size();
    if (this.plot && size.width > 0 && size.width !== this.plot.width) this.plot.setSize(size);
  }

  /** Shows each curve's value at the cursor, or its last one. */
  showValues() {
    if (!this.plot) return;
    const { left } = this.plot.cursor;
    const at = left >= 0 ? this.plot.posToVal(left, "x") : undefined;
    this.position.textContent = at === undefined
      ? "last values"
      : `at ${valueText(Number(at.toPrecision(4)))} ${this.view.axis.label}`;
    this.points.forEach(({ x, y }, i) => {
      this.outputs[i].textContent = valueText(y[at === undefined ? x.length - 1 : nearest(x, at)]);
    });
  }

  onKey(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    const zooms = { "+": 0.5, "=": 0.5, "-": 2 };
    if (event.key in moves) this.moveCursor(moves[event.key]);
    else if (event.key in zooms) this.view.zoomBy(zooms[event.key]);
    else if (event.key === "0" || event.key === "Escape") this.view.zoom(null);
    else return;
    event.preventDefault();
  }

  /** Position and values at the cursor, to be read aloud. */
  reading() {
    const values = this.chart.curves.map(({ name }, i) => `${name} ${this.outputs[i].textContent}`);
    return `${this.position.textContent}: ${values.join(", ")}`;
  }

  /** Moves the cursor to the next point, or at first to the last. */
  moveCursor(by) {
    const [xs] = this.plot.data;
    const { left } = this.plot.cursor;
    const now = left >= 0 ? nearest(xs, this.plot.posToVal(left, "x")) : xs.length;
    const index = Math.min(Math.max(now + by, 0), xs.length - 1);
    this.plot.setCursor({ left: this.plot.valToPos(xs[index], "x"), top: this.plot.over.clientHeight / 2 });
    this.view.announce(this.reading());
  }
}
