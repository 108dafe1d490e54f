/**
 * Pictures of one request, and their progress.
 *
 * @module
 */
import { element } from "./dom.js";
import { Picture } from "./picture.js";
/** @import { Wish } from "./api.js" */

export class Row {
  /** Requests ahead in the queue, while waiting. @type {number | undefined} */
  position;
  started = false;
  /** Steps before its newest preview. */
  step = 0;
  /** Steps in all: evaluations of the network, which are not always as many as were asked for. */
  steps = 1;
  done = false;

  /**
   * @param {Wish} wish
   * @param {{ width: number, height: number }} size of a picture
   * @param {(picture: Picture) => void} open called when a picture is pressed
   */
  constructor(wish, size, open) {
    this.wish = wish;
    this.pictures = Array.from(
      { length: wish.count },
      (_, i) => new Picture({ ...wish, count: 1, seed: wish.seed + i }, size, open),
    );
    const { edit } = wish;
    const original = edit
      ? [element("img", { ...size, className: "given", src: edit.image, alt: "Your picture" })]
      : [];
    this.grid = element("div", { className: "tiles" }, ...original, ...this.pictures.map(({ tile }) => tile));
  }

  reset() {
    this.position = undefined;
    this.started = false;
    this.step = 0;
    for (const picture of this.pictures) picture.reset();
  }

  /**
   * @param {string} event
   * @param {any} data
   */
  take(event, data) {
    this.position = event === "queued" ? data.position : undefined;
    if (event === "started") {
      this.started = true;
      for (const picture of this.pictures) picture.model = data.model;
    } else if (event === "preview") {
      [this.step, this.steps] = [data.step, data.steps];
      this.pictures[data.index].addFrame(data);
    } else if (event === "image") {
      this.pictures[data.index].finish(data.image, data.class ?? this.wish.class);
    } else if (event === "done") {
      this.done = true;
    }
  }

  /** Tiles of the grid, with that of the picture to start from. */
  get tiles() {
    return this.grid.children.length;
  }

  get finished() {
    return this.pictures.filter(({ source }) => source !== "").length;
  }

  /** From 0 to 1. */
  get progress() {
    const ways = this.pictures.map(({ source, frames }) => {
      return source ? 1 : (frames.at(-1)?.step ?? 0) / this.steps;
    });
    return ways.reduce((sum, way) => sum + way, 0) / ways.length;
  }
}
