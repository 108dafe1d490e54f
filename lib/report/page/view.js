/**
 * State that all charts share: axis, zoom and smoothing, with their controls.
 *
 * @module
 */
import { axesOf } from "./axis.js";
import { ChartView } from "./chart.js";
import { button, element, labelled } from "./dom.js";

/** All charts of the page. */
export class View {
  /** @param report data of the page */
  constructor({ runs, charts }) {
    this.axes = axesOf(runs);
    this.axis = this.axes[0];
    this.smoothing = 0;
    this.shown = null;
    this.onPaper = false;
    this.definitions = charts;
    this.voice = element("p", { class: "unseen", role: "status" });
    document.querySelector("#curves").append(this.voice);
    this.measure();
    this.views = charts.map((chart) =>
      new ChartView(document.querySelector(`[data-chart="${chart.id}"]`), chart, this)
    );
  }

  /** Finds the ends of the whole axis. */
  measure() {
    const ends = this.definitions.flatMap(({ curves }) =>
      curves.flatMap(({ run, x }) => [x[0], x.at(-1)].map((step) => this.axis.valueOf(run, step)))
    );
    const [least, most] = [Math.min(...ends), Math.max(...ends)];
    this.whole = [least, most > least ? most : least + 1];
  }

  /** Ends of the axis that are shown. */
  range() {
    return this.shown ?? this.whole;
  }

  /** Shows a part of the axis in all charts; null for the whole. */
  zoom(ends) {
    const [least, most] = this.whole;
    this.shown = ends && [Math.max(least, ends[0]), Math.min(most, ends[1])];
    if (this.shown && this.shown[1] - this.shown[0] < (most - least) * 1e-5) this.shown = null;
    for (const view of this.views) view.zoomed();
    this.reset.disabled = this.shown === null;
  }

  /** Shows `factor` times as much, about the middle. */
  zoomBy(factor) {
    const [from, to] = this.range();
    const half = (to - from) * factor / 2;
    this.zoom([(from + to) / 2 - half, (from + to) / 2 + half]);
  }

  /** Moves by a share of what is shown. */
  move(share) {
    const [from, to] = this.range();
    const [least, most] = this.whole;
    const by = Math.min(Math.max((to - from) * share, least - from), most - to);
    this.zoom([from + by, to + by]);
  }

  /** Has a text read aloud: values at the cursor of the keyboard, not those under the mouse. */
  announce(text) {
    this.voice.textContent = text;
  }

  /** Draws all charts anew. */
  draw() {
    for (const view of this.views) view.draw();
  }

  /** Draws all charts for paper, which is white whatever the screen, or for the screen again. */
  print(onPaper) {
    this.onPaper = onPaper;
    document.documentElement.toggleAttribute("data-paper", onPaper);
    this.draw();
  }

  /** Controls of all charts. */
  controls() {
    const axis = element(
      "select",
      {},
      ...this.axes.map(({ name }) => element("option", { value: name }, name)),
    );
    axis.addEventListener("change", () => {
      this.axis = this.axes.find(({ name }) => name === axis.value);
      this.shown = null;
      this.reset.disabled = true;
      this.measure();
      this.draw();
    });
    const smoothing = element("input", { type: "range", min: "0", max: "0.98", step: "0.02", value: "0" });
    smoothing.addEventListener("input", () => {
      this.smoothing = Number(smoothing.value);
      this.draw();
    });
    this.reset = button("Whole run", "Show the whole run", () => this.zoom(null));
    this.reset.disabled = true;
    return [
      labelled("Axis", axis),
      ...this.definitions.some(({ noisy }) => noisy) ? [labelled("Smoothing", smoothing)] : [],
      element(
        "span",
        { class: "buttons" },
        button("‹", "Earlier", () => this.move(-0.5)),
        button("−", "Zoom out", () => this.zoomBy(2)),
        button("+", "Zoom in", () => this.zoomBy(0.5)),
        button("›", "Later", () => this.move(0.5)),
        this.reset,
      ),
      element("span", { class: "hint" }, "Drag over a chart to zoom in; double-click for the whole run."),
    ];
  }
}
