/**
 * Dialog of one picture: its previews, its settings, and buttons to draw it again.
 *
 * @module
 */
import { pictureUrl } from "./api.js";
import { byId, element } from "./dom.js";
import { layOut } from "./layout.js";
import { knownToken } from "./token.js";
import { className, curlLine } from "./words.js";
/** @import { Picture } from "./picture.js" */

const dialog = byId("details");
const image = byId("details-image");
const way = byId("way");

/** The picture that is shown. @type {Picture | undefined} */
let shown;
/** It was drawn by another model than the one that is served. */
let isForeign = false;

/** @typedef {(picture: Picture) => void} Act */

/**
 * @param {{ again: Act, againRows: Act, refill: Act, forget: Act }} on pressed buttons
 */
export function prepareDetails(on) {
  way.addEventListener("input", show);
  dialog.addEventListener("close", () => {
    shown?.removeEventListener("change", follow);
    shown = undefined;
  });
  const buttons = { again: on.again, "again-rows": on.againRows, refill: on.refill, forget: on.forget };
  for (const [id, act] of Object.entries(buttons)) {
    byId(id).addEventListener("click", () => {
      const picture = shown;
      dialog.close();
      if (picture) act(picture);
    });
  }
  byId("copy").addEventListener("click", copy);
}

/**
 * @param {Picture} picture
 * @param {{ foreign: boolean }} options drawn by another model than the one that is served
 */
export function openDetails(picture, { foreign }) {
  shown = picture;
  isForeign = foreign;
  picture.addEventListener("change", follow);
  byId("copied").textContent = "";
  follow();
  dialog.showModal();
}

/** Shows what is known of the picture by now, at its newest. */
function follow() {
  if (!shown) return;
  const { wish, model } = shown;
  byId("details-title").textContent = className(wish.class);
  const facts = Object.entries({
    Seed: wish.seed,
    Steps: wish.steps,
    Sampler: wish.sampler,
    Guidance: wish.guidance ?? "none",
    "Away from": wish.negative_class,
    Rescale: wish.guidance_rescale,
    "Noise levels": wish.guidance_interval,
    Spacing: wish.spacing,
    Eta: wish.eta,
    Variance: wish.variance,
    Churn: wish.churn,
    "Starts from": wish.edit && (wish.edit.mask ? "your picture, a part drawn anew" : "your picture"),
    Strength: wish.edit?.strength,
    Passes: wish.edit?.mask && wish.edit.resamplings,
    Model: model || "not known yet",
  }).filter(([, value]) => value !== undefined);
  byId("details-list").replaceChildren(...facts.flatMap(([name, value]) => [
    element("dt", { textContent: name }),
    element("dd", { textContent: String(value) }),
  ]));
  const file = `${wish.class.replace(/[^\w-]+/g, "-")}-${wish.seed}.png`;
  byId("terminal").hidden = isForeign || wish.edit !== undefined; // its files would have to be there
  byId("again").hidden = byId("again-rows").hidden = isForeign;
  byId("refill").hidden = shown.source === "";
  byId("forget").hidden = shown.keptAs === undefined;
  byId("curl").textContent = curlLine(pictureUrl(wish), file, knownToken() !== "");
  byId("download").download = file;
  way.max = String(sources().length - 1);
  way.value = way.max;
  way.disabled = sources().length < 2;
  show();
}

/** Shows what the slider points at. */
function show() {
  if (!shown) return;
  const all = sources();
  const { step, source } = all[Number(way.value)];
  const steps = shown.steps ?? shown.wish.steps;
  const { width, height } = shown.size;
  const { side } = layOut(1, Math.min(320, innerWidth - 72), width, 320);
  image.src = source;
  image.style.width = `${side}px`;
  image.style.height = `${(side * height) / width}px`;
  const text = step === steps
    ? `Finished after step ${step}`
    : step === 0
    ? "Noise"
    : `Estimate after step ${step} of ${steps}`;
  image.alt = `${shown.name}. ${text}`;
  way.setAttribute("aria-valuetext", text);
  byId("way-label").textContent = text;
  byId("download").hidden = shown.source === "";
  byId("download").href = shown.source;
}

/** All images of the picture, in order: previews and result, or noise. */
function sources() {
  const { frames, source, steps, wish, image } = /** @type {Picture} */ (shown);
  if (source) return [...frames, { step: steps ?? wish.steps, source }];
  return frames.length > 0 ? frames : [{ step: 0, source: image.src }];
}

async function copy() {
  const code = byId("curl");
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch { // not allowed, or the page did not come over HTTPS or from this machine
    getSelection()?.selectAllChildren(code);
    said = "Selected; press Ctrl+C or ⌘C to copy";
  }
  byId("copied").textContent = said;
}
