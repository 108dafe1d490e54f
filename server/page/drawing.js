/**
 * One press of Draw on the page: its caption, its progress and its pictures in rows.
 *
 * @module
 */
import { announce, byId, element } from "./dom.js";
import { applyLayout, largestSide, layOut } from "./layout.js";
import { Row } from "./row.js";
import { className, duration, plural, settingsText } from "./words.js";
/** @import { Wish } from "./api.js" */
/** @import { Picture } from "./picture.js" */

export class Drawing {
  /** Progress last announced. @type {string | number} */
  #told = "";

  /**
   * @param {{ title: string, wishes: readonly Wish[], perClass: boolean }} what a row a wish, with or without its class
   * @param {{ width: number, height: number }} size of a picture
   * @param {(picture: Picture) => void} open called when a picture is pressed
   */
  constructor({ title, wishes, perClass }, size, open) {
    this.title = title;
    this.perClass = perClass;
    this.size = size;
    this.rows = wishes.map((wish) => new Row(wish, size, open));
    this.status = element("p", { className: "status" });
    this.bar = element("progress", { max: 1, ariaLabel: "Noise removed" });
    this.cancel = element("button", { type: "button", textContent: "Cancel" });
    this.progress = element("div", { className: "progress" }, this.status, this.cancel, this.bar);
    this.element = element(
      "section",
      { className: perClass ? "drawing per-class" : "drawing", ariaLabel: title },
      element("h2", { textContent: title }),
      element("p", { className: "note", textContent: noteOf(wishes[0]) }),
      this.progress,
      ...this.rows.map(({ wish, grid }) => {
        const label = perClass ? [element("h3", { textContent: className(wish.class) })] : [];
        return element("div", { className: "row" }, ...label, grid);
      }),
    );
  }

  /**
   * Fits the pictures into the available width.
   * @param {number} room width in CSS pixels
   * @param {boolean} small as the earlier ones are
   */
  fit(room, small) {
    const label = parseFloat(getComputedStyle(this.element).getPropertyValue("--label")) || 0;
    for (const { grid, tiles } of this.rows) {
      const largest = small ? 64 : this.perClass ? 96 : largestSide(tiles);
      const oneRow = this.perClass || small;
      applyLayout(grid, layOut(tiles, room - label, this.size.width, largest, oneRow));
    }
  }

  /** @param {() => void} onCancel */
  begin(onCancel) {
    this.progress.classList.remove("ended");
    this.cancel.onclick = onCancel;
    this.report();
  }

  /** Shows the progress; announces it only at every quarter, so that screen readers are not flooded. */
  report() {
    const text = this.status.textContent = this.#stage();
    const progress = this.bar.value = this.rows.reduce((sum, row) => sum + row.progress, 0) /
      this.rows.length;
    const told = progress === 0 ? text : Math.floor(progress * 4);
    if (told !== this.#told) announce(text);
    this.#told = told;
  }

  /** @param {number} milliseconds that it took */
  end(milliseconds) {
    this.#end(`${plural(this.#count, "picture")} in ${duration(milliseconds)}`);
  }

  /** Shows that it was stopped or failed. */
  stop() {
    this.#end(`Stopped: ${this.#finished} of ${plural(this.#count, "picture")} finished`);
  }

  /** @param {string} text */
  #end(text) {
    if (document.activeElement === this.cancel) byId("draw").focus({ preventScroll: true }); // keep the focus on the page
    this.progress.classList.add("ended");
    this.status.textContent = text;
    announce(text);
  }

  get #count() {
    return this.rows.reduce((sum, { pictures }) => sum + pictures.length, 0);
  }

  get #finished() {
    return this.rows.reduce((sum, { finished }) => sum + finished, 0);
  }

  /** Description of the progress. */
  #stage() {
    const open = this.rows.filter(({ done }) => !done);
    const drawn = open.filter(({ step }) => step > 0);
    if (this.#finished > 0 && this.#count > 1) return `${this.#finished} of ${this.#count} pictures finished`;
    if (drawn.length > 0) return `Step ${drawn[0].step} of ${drawn[0].steps}`;
    const positions = open.flatMap(({ position }) => position ?? []);
    if (positions.length === 0 || open.some(({ started }) => started)) return "Starting …";
    const before = Math.min(...positions);
    return before === 0 ? "Next in the queue" : `In the queue, behind ${plural(before, "request")}`;
  }
}

/** @param {Wish} wish */
function noteOf(wish) {
  const seeds = wish.count === 1
    ? `Seed ${wish.seed}`
    : `Seeds ${wish.seed} to ${wish.seed + wish.count - 1}`;
  return `${seeds}, ${settingsText(wish)}`;
}
