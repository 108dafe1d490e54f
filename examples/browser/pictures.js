/**
 * Pictures on the page.
 *
 * @module
 */
// @ts-types="../../web.ts"
import { toImageData } from "./denoise.js";
import { element } from "./dom.js";

/** A picture with its caption. */
export class Tile {
  figure;
  #canvas;
  #caption;

  /** @param {string} text what it shows */
  constructor(text) {
    this.#canvas = element("canvas", { width: 1, height: 1 });
    this.#canvas.setAttribute("role", "img");
    this.#canvas.setAttribute("aria-label", text);
    this.#caption = element("figcaption", {}, text);
    this.figure = element("figure", { className: "tile" }, this.#canvas, this.#caption);
  }

  /**
   * @param {import("../../web.ts").Images} images
   * @param {number} index
   */
  show(images, index) {
    const data = toImageData(images, index);
    if (this.#canvas.width !== data.width) this.#canvas.width = data.width;
    if (this.#canvas.height !== data.height) this.#canvas.height = data.height;
    this.#canvas.getContext("2d")?.putImageData(data, 0, 0);
  }

  /**
   * Offers the picture as a file.
   * @param {Uint8Array} png
   * @param {string} name
   */
  save(png, name) {
    const link = element("a", {
      href: URL.createObjectURL(new Blob([png], { type: "image/png" })),
      download: name,
      textContent: "Save",
    });
    link.setAttribute("aria-label", `Save ${this.#caption.textContent}`);
    this.#caption.append(" ", link);
  }

  remove() {
    const link = this.#caption.querySelector("a");
    if (link) URL.revokeObjectURL(link.href);
    this.figure.remove();
  }
}
