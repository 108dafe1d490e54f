/**
 * Something that takes its time: its buttons, its status and its progress.
 *
 * @module
 */
import { announce, byId } from "./dom.js";

/** An activity whose elements are `ID-start`, `ID-pause`, `ID-stop`, `ID-status` and `ID-progress`. */
export class Activity {
  #id;
  #paused = false;
  /** @type {AbortController | undefined} */
  #controller;
  /** @type {() => void} */
  #wake = () => {};

  /** @param {string} id */
  constructor(id) {
    this.#id = id;
    this.#part("pause").addEventListener("click", () => this.#pause(!this.#paused));
    this.#part("stop").addEventListener("click", () => {
      this.#controller?.abort();
      this.#pause(false);
    });
  }

  /** @param {string} name */
  #part(name) {
    return byId(`${this.#id}-${name}`);
  }

  get running() {
    return this.#controller !== undefined;
  }

  /** Aborted once somebody has pressed Stop. */
  get signal() {
    return this.#controller?.signal ?? AbortSignal.abort();
  }

  /**
   * Shows the buttons of an activity while it goes on.
   * @param {() => Promise<void>} work
   */
  async run(work) {
    this.#controller = new AbortController();
    // not `disabled`, which would take the focus away
    this.#part("start").setAttribute("aria-disabled", "true");
    this.#pause(false);
    for (const name of ["pause", "stop"]) this.#part(name).hidden = false;
    try {
      await work();
    } finally {
      const inside = [this.#part("pause"), this.#part("stop")].includes(document.activeElement);
      this.#controller = undefined;
      this.#part("start").setAttribute("aria-disabled", "false");
      for (const name of ["pause", "stop", "progress"]) this.#part(name).hidden = true;
      if (inside) this.#part("start").focus();
    }
  }

  /** Waits while it is paused; at most a moment otherwise, so that the page can be drawn. */
  async turn() {
    await new Promise((resolve) => setTimeout(resolve));
    while (this.#paused) await new Promise((resolve) => this.#wake = () => resolve(undefined));
  }

  /** @param {boolean} paused */
  #pause(paused) {
    this.#paused = paused;
    this.#part("pause").textContent = paused ? "Continue" : "Pause";
    if (!paused) this.#wake();
  }

  /**
   * @param {string} text
   * @param {{ done: number, total?: number }} [progress] none hides the bar
   */
  show(text, progress) {
    this.#part("status").textContent = text;
    const bar = this.#part("progress");
    bar.hidden = progress === undefined;
    if (!progress) return;
    if (progress.total === undefined) bar.removeAttribute("value");
    else Object.assign(bar, { max: progress.total, value: progress.done });
  }

  /**
   * Shows a text, and says it to those who do not see it.
   * @param {string} text
   */
  say(text) {
    this.show(text);
    announce(text);
  }
}
