/**
 * One picture: settings, previews and tile.
 *
 * @module
 */
import { element } from "./dom.js";
import { className } from "./words.js";
/** @import { Wish } from "./api.js" */

/** Tells `change` when it looks different, and `finish` when it is finished. */
export class Picture extends EventTarget {
  /** Previews in order. @type {{ step: number, source: string }[]} */
  frames = [];
  /** The finished picture. */
  source = "";
  /** Name of the model that draws it, once it does. */
  model = "";
  /** Digest of that model's weights, for a picture of the gallery. */
  digest = "";
  /** Number in the gallery, for a picture of it. @type {number | undefined} */
  keptAs;
  /** Its steps in all, as the previews count them. @type {number | undefined} */
  steps;

  /**
   * @param {Wish} wish of this picture alone
   * @param {{ width: number, height: number }} size
   * @param {(picture: Picture) => void} open called when its tile is pressed
   */
  constructor(wish, size, open) {
    super();
    this.wish = wish;
    this.size = size;
    this.image = element("img", { ...size, draggable: false });
    this.tile = element(
      "button",
      { type: "button", className: "tile", onclick: () => open(this) },
      this.image,
    );
    this.reset();
  }

  /** As before its first step. */
  reset() {
    this.frames = [];
    this.source = "";
    this.#show(noise(this.size), "waiting");
  }

  /** @param {{ step: number, steps: number, image: string }} preview steps done and in all, and a PNG in base64 */
  addFrame({ step, steps, image }) {
    const source = pngSource(image);
    this.steps = steps;
    this.frames.push({ step, source });
    this.#show(source, "being drawn");
  }

  /**
   * @param {string} base64 of a PNG
   * @param {string} name of its class, which was open where any was asked for
   */
  finish(base64, name) {
    this.wish = { ...this.wish, class: name };
    this.source = pngSource(base64);
    this.#show(this.source, "");
    this.dispatchEvent(new Event("finish"));
  }

  /** Its name to a reader who does not see it. */
  get name() {
    return `${className(this.wish.class)}, seed ${this.wish.seed}`;
  }

  /**
   * @param {string} source
   * @param {string} state
   */
  #show(source, state) {
    this.image.src = source;
    this.image.alt = state ? `${this.name}, ${state}` : this.name;
    this.tile.classList.toggle("unfinished", state !== "");
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {string} base64 */
function pngSource(base64) {
  return `data:image/png;base64,${base64}`;
}

/**
 * A square of Gaussian noise: a sketch of what a picture begins as, not the noise of its seed.
 * @param {{ width: number, height: number }} size
 */
export function noise({ width, height }) {
  const canvas = element("canvas", { width, height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < pixels.data.length; i++) {
    const normal = Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
    pixels.data[i] = i % 4 === 3 ? 255 : (normal + 1) * 127.5; // a clamped array clamps
  }
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}
