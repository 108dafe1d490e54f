/**
 * The loss as a curve that grows.
 *
 * @module
 */
import { byId } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 240;
/** Room for the numbers, left and below. */
const LEFT = 44;
const BELOW = 24;

/** @typedef {{ step: number, loss: number }} Point */

/** A curve of training, and one of validation. */
export class Curve {
  /** @type {Point[]} */
  #train = [];
  /** @type {Point[]} */
  #validation = [];
  #steps;

  /** @param {number} steps in all */
  constructor(steps) {
    this.#steps = steps;
    byId("curve-figure").hidden = false;
    this.#draw();
  }

  /** @param {Point} point */
  addTraining(point) {
    this.#train.push(point);
    this.#draw();
  }

  /** @param {Point} point */
  addValidation(point) {
    this.#validation.push(point);
    this.#draw();
  }

  #draw() {
    const losses = [...this.#train, ...this.#validation].map(({ loss }) => loss);
    const [low, high] = [Math.min(1, ...losses) * 0.9, Math.max(0.1, ...losses) * 1.1];
    const x = (/** @type {number} */ step) => LEFT + (WIDTH - LEFT - 8) * step / this.#steps;
    // logarithmic: a loss falls quickly first, and by small steps for long
    const y = (/** @type {number} */ loss) =>
      8 + (HEIGHT - BELOW - 8) * Math.log(high / loss) / Math.log(high / low);
    const points = (/** @type {Point[]} */ all) =>
      all.map(({ step, loss }) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
    byId("curve-train").setAttribute("points", points(this.#train));
    byId("curve-validation").setAttribute("points", points(this.#validation));
    const ticks = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01].filter((loss) => loss > low && loss < high);
    byId("curve-axes").replaceChildren(
      ...ticks.flatMap((loss) => [
        shape("line", { class: "grid", x1: LEFT, x2: WIDTH - 8, y1: y(loss), y2: y(loss) }),
        shape("text", { class: "tick", x: LEFT - 6, y: y(loss) + 4, "text-anchor": "end" }, String(loss)),
      ]),
      shape("text", { class: "tick", x: LEFT, y: HEIGHT - 6 }, "step 0"),
      shape(
        "text",
        { class: "tick", x: WIDTH - 8, y: HEIGHT - 6, "text-anchor": "end" },
        String(this.#steps),
      ),
    );
    byId("curve-marks").replaceChildren(
      ...this.#validation.map(({ step, loss }) =>
        shape("circle", { class: "dot", cx: x(step), cy: y(loss), r: 3.5 })
      ),
    );
    const last = this.#train.at(-1);
    const held = this.#validation.at(-1);
    byId("curve-title").textContent = last === undefined
      ? "Loss by step"
      : `Loss by step: ${last.loss.toFixed(3)} at step ${last.step} of ${this.#steps}` +
        (held ? `; on pictures held back ${held.loss.toFixed(3)}` : "");
  }
}

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {string} [text]
 */
function shape(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}
