/**
 * Settings of a drawn picture, brought back into the form from its PNG.
 *
 * @module
 */
import { byId, element } from "./dom.js";
import { isDigestOf, readDrawn } from "./drawn.js";
import { expectEdit, openOriginal, writeEdit } from "./editor.js";
import { writeSettings } from "./form.js";
import { PngError, readPng } from "./png_text.js";
/** @import { Drawn } from "./drawn.js" */
/** @import { Offer } from "./offer.js" */
/** @import { Picture } from "./picture.js" */

const panel = byId("reopened");
const button = byId("reopen");
const file = byId("reopen-file");

/** The server's offers, once they are known. @type {readonly Offer[]} */
let offers = [];
/** That of the model that is chosen. @type {Offer | undefined} */
let offer;
/** Chooses a model. @type {(chosen: Offer) => Promise<void>} */
let choose = () => Promise.resolve();
/** The file that was opened last. @type {File | undefined} */
let last;
/** What is said of it, once the form has been changed since. */
let filled = "";

/**
 * @param {readonly Offer[]} all
 * @param {Offer} chosen
 * @param {typeof choose} chooseOther called for a picture of another model
 */
export function prepareReopening(all, chosen, chooseOther) {
  [offers, offer, choose] = [all, chosen, chooseOther];
  button.disabled = false;
}

/**
 * Takes a picture that was dropped or pasted, if it carries settings.
 *
 * @param {File} given
 * @returns {Promise<boolean>} whether it does
 */
export async function takeDropped(given) {
  const drawn = await read(given).catch(() => undefined);
  if (!drawn) {
    panel.hidden = true;
    return false;
  }
  await take(given, drawn);
  return true;
}

/**
 * Fills in the settings of a picture of this page, with the one that it was drawn from.
 * @param {Picture} picture a finished one
 */
export async function reopenPicture({ source, wish }) {
  const bytes = Uint8Array.from(atob(source.slice(source.indexOf(",") + 1)), (char) => char.charCodeAt(0));
  const name = `${wish.class}-${wish.seed}.png`;
  const file = new File([bytes], name, { type: "image/png" });
  const drawn = offer && readDrawn(await readPng(file), offer, { hasOriginal: wish.edit !== undefined });
  if (!drawn) return;
  await take(file, drawn);
  if (wish.edit) await writeEdit(wish.edit);
  byId("wish").scrollIntoView({ block: "nearest" });
  byId("draw").focus();
}

/**
 * @param {File} given
 * @returns {Promise<Drawn | undefined>} nothing without settings
 * @throws {PngError}
 */
async function read(given) {
  const png = await readPng(given);
  const digest = png.text.get("model_digest");
  const drawnBy = offers.find(({ model }) => digest !== undefined && isDigestOf(digest, model.digest));
  const drawn = offer && readDrawn(png, drawnBy ?? offer);
  if (drawn && drawnBy) await choose(drawnBy);
  return drawn;
}

/** @param {File} chosen */
async function open(chosen) {
  try {
    const drawn = await read(chosen);
    if (drawn) return await take(chosen, drawn);
    say(
      chosen,
      "This PNG has no settings of a drawing. Programs and web sites that change a picture often remove them.",
    );
  } catch (error) {
    if (!(error instanceof PngError) && !(error instanceof DOMException)) throw error;
    say(chosen, error instanceof PngError ? error.message : "The browser cannot read this file.");
  }
}

/**
 * @param {File} given
 * @param {Drawn} drawn
 */
async function take(given, { wish, edit, notes }) {
  writeSettings(wish);
  if (edit) expectEdit(edit);
  else await writeEdit(undefined);
  filled = `The settings of ${given.name || "the picture"} are filled in.`;
  say(given, notes.length === 0 ? `${filled} Draw repeats the picture, bit by bit.` : filled, notes);
}

/**
 * @param {File} given
 * @param {string} text
 * @param {readonly string[]} [notes]
 */
function say(given, text, notes = []) {
  last = given;
  if (!text.startsWith(filled)) filled = "";
  panel.hidden = false;
  byId("reopened-text").textContent = text;
  byId("reopened-notes").replaceChildren(...notes.map((note) => element("li", { textContent: note })));
  panel.scrollIntoView({ block: "nearest" });
}

byId("wish").addEventListener("input", () => {
  if (filled) byId("reopened-text").textContent = filled; // Draw repeats it no longer
});
button.addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  const [chosen] = file.files;
  file.value = ""; // so that the same file can be chosen again
  if (chosen) open(chosen);
});
byId("reopened-start").addEventListener("click", () => {
  panel.hidden = true;
  if (last) openOriginal(last);
});
