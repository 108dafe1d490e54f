/**
 * Start of the page's script.
 *
 * @module
 */
import { connectSlider } from "./samples.js";
import { View } from "./view.js";

const report = JSON.parse(document.getElementById("report").textContent);
connectSlider(report.samples);
const tools = document.querySelector("#curves .tools");
if (tools) {
  const view = new View(report);
  tools.append(...view.controls());
  tools.hidden = false;
  view.draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view.draw());
  addEventListener("beforeprint", () => view.print(true));
  addEventListener("afterprint", () => view.print(false));
}
