/**
 * Entry point of the page: connects form, pictures and dialogs.
 *
 * @module
 */
import { openDetails, prepareDetails } from "./details.js";
import { byId, element } from "./dom.js";
import { draw } from "./draw.js";
import { Drawing } from "./drawing.js";
import { fillForm, readForm, writeForm } from "./form.js";
import { onDropElsewhere, writeEdit } from "./editor.js";
import { deleteKept, fitGallery, keep, prepareGallery } from "./gallery.js";
import { readOffers } from "./offer.js";
import { noise } from "./picture.js";
import { prepareReopening, reopenPicture, takeDropped } from "./reopen.js";
import { className, troubleText } from "./words.js";
/** @import { Offer } from "./offer.js" */
/** @import { Picture } from "./picture.js" */

const CANCELLED = Symbol("cancelled");
// Drawings that are kept: each picture holds about ten small files.
const KEPT = 20;

const form = byId("wish");
const stage = byId("pictures");
const trouble = byId("trouble");
const chooser = byId("model");
const starters = [byId("draw"), byId("draw-rows")];

/** The server's offers, of each model one. @type {Offer[]} */
let offers = [];
/** That of the model that is chosen. @type {Offer} */
let offer;
/** Newest first. @type {Drawing[]} */
let drawings = [];
/** Aborted to cancel what is being drawn. @type {AbortController | undefined} */
let running;
/** Resolved when that has ended. */
let ended = Promise.resolve();

/**
 * Draws what the form says.
 * @param {boolean} perClass a row for every class in place of the class that is chosen
 */
function start(perClass) {
  if (running || !form.reportValidity()) return;
  ended = work((stop) => begin(perClass, stop), () => start(perClass));
}

/**
 * Draws what is not yet drawn of a drawing.
 * @param {Drawing} drawing
 */
function resume(drawing) {
  ended = work((stop) => run(drawing, stop), () => resume(drawing));
}

/**
 * Runs a task; the page is busy until it ends. Only one at a time.
 * @param {(stop: AbortController) => Promise<void>} task
 * @param {() => void} again called to try again if it fails
 */
async function work(task, again) {
  const stop = running = new AbortController();
  setBusy(true);
  try {
    await task(stop);
  } catch (error) {
    if (stop.signal.reason !== CANCELLED) sayTrouble(error, again);
  } finally {
    running = undefined;
    setBusy(false);
  }
}

/**
 * @param {boolean} perClass
 * @param {AbortController} stop
 */
async function begin(perClass, stop) {
  const model = offers.length > 1 ? { model: offer.name } : {};
  const wishes = (await readForm(perClass ? offer.classes : undefined)).map((wish) => ({
    ...wish,
    ...model,
  }));
  if (stop.signal.aborted) return;
  const [{ count, class: name }] = wishes;
  const title = `${count} × ${perClass ? "every class" : className(name)}`;
  const drawing = new Drawing({ title, wishes, perClass }, offer.size, showDetails);
  const { digest } = offer.model;
  const time = Date.now();
  for (const [place, picture] of drawing.rows.flatMap(({ pictures }) => pictures).entries()) {
    picture.addEventListener("finish", () => keep(picture, { digest, time, place }));
  }
  drawings = [drawing, ...drawings].slice(0, KEPT);
  byId("empty").hidden = true;
  byId("current").replaceChildren(drawing.element);
  byId("past").replaceChildren(...drawings.slice(1).map(({ element }) => element));
  byId("earlier").hidden = drawings.length < 2;
  fit();
  const { top } = stage.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) stage.scrollIntoView();
  await run(drawing, stop);
}

/**
 * @param {Drawing} drawing
 * @param {AbortController} stop
 */
async function run(drawing, stop) {
  const began = performance.now();
  drawing.begin(() => stop.abort(CANCELLED));
  try {
    await draw(drawing, stop);
    drawing.end(performance.now() - began);
  } catch (error) {
    drawing.stop();
    if (stop.signal.reason !== CANCELLED) sayTrouble(error, () => resume(drawing));
  }
}

/** @param {boolean} busy */
function setBusy(busy) {
  if (busy) trouble.hidden = true;
  // not `disabled`, which would take the focus away
  for (const button of starters) button.ariaDisabled = String(busy);
  stage.ariaBusy = String(busy);
}

/**
 * Shows an error with a button to try again.
 * @param {any} error
 * @param {() => void} again
 */
function sayTrouble(error, again) {
  const button = element("button", { type: "button", textContent: "Try again" });
  button.addEventListener("click", () => {
    trouble.hidden = true;
    again();
  });
  trouble.replaceChildren(element("p", { textContent: troubleText(error) }), button);
  trouble.hidden = false;
  trouble.scrollIntoView({ block: "nearest" });
}

/** Fits all pictures into the available width. */
function fit() {
  for (const [age, drawing] of drawings.entries()) drawing.fit(stage.clientWidth, age > 0);
  fitGallery();
}

/**
 * Draws with the settings of a picture, cancelling the current drawing.
 * @param {Picture} picture
 * @param {boolean} perClass
 */
async function drawAgain(picture, perClass) {
  running?.abort(CANCELLED);
  await ended;
  const named = offers.find(({ name }) => name === picture.wish.model);
  await choose(named ?? offers.find(({ model }) => model.digest === picture.digest) ?? offer);
  await writeForm(picture.wish);
  start(perClass);
}

/** @param {Picture} picture */
function showDetails(picture) {
  const isServed = offers.some(({ model }) => model.digest === picture.digest);
  openDetails(picture, { foreign: picture.digest !== "" && !isServed });
}

/**
 * Draws with another model from now on.
 * @param {Offer} chosen
 */
async function choose(chosen) {
  if (chosen === offer) return;
  const before = offer;
  offer = chosen;
  chooser.value = chosen.name;
  fillForm(chosen, before === undefined);
  prepareReopening(offers, chosen, choose);
  byId("facts").textContent = chosen.facts;
  const { width, height } = before?.size ?? chosen.size;
  // It was cropped to the size of the other's pictures.
  if (width !== chosen.size.width || height !== chosen.size.height) await writeEdit(undefined);
}

/** Loads model and settings, and enables the form. */
async function load() {
  trouble.hidden = true;
  try {
    offers = await readOffers();
  } catch (error) {
    return sayTrouble(error, load);
  }
  chooser.replaceChildren(...offers.map(({ name }) => element("option", { textContent: name })));
  byId("models").hidden = offers.length < 2;
  await choose(offers[0]);
  for (const button of starters) button.disabled = false;
}

form.addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  start(false);
});
byId("draw-rows").addEventListener("click", () => start(true));
chooser.addEventListener("change", () => choose(offers[chooser.selectedIndex]));
prepareDetails({
  again: (picture) => drawAgain(picture, false),
  againRows: (picture) => drawAgain(picture, true),
  refill: reopenPicture,
  forget: deleteKept,
});
onDropElsewhere(takeDropped);
new ResizeObserver(fit).observe(stage);
byId("noise").src = noise({ width: 32, height: 32 });
prepareGallery(showDetails);
load();
