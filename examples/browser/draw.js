/**
 * Drawing: pictures come out of the noise step by step.
 *
 * @module
 */
// @ts-types="../../web.ts"
import { samplerNames } from "./denoise.js";
import { Activity } from "./activity.js";
import { explain } from "./device.js";
import { announce, byId, megabytes, offer, showTrouble } from "./dom.js";
import { knownModels, loadModel } from "./models.js";
import { Tile } from "./pictures.js";

/** Words for the classes that are none. */
const ANY = /** @type {const} */ (["any", "any class"]);
const NONE = /** @type {const} */ (["none", "no class"]);

const activity = new Activity("draw");
/** @type {Tile[]} */
let tiles = [];
/** Pictures after each step. @type {import("../../web.ts").Images[]} */
let way = [];
/** True once somebody has chosen a number of steps. */
let stepsChosen = false;

/** Makes the form ready. */
export function startDrawing() {
  offerModels();
  offer(byId("sampler"), samplerNames.map((name) => [name, name]));
  byId("sampler").value = "unipc";
  byId("model").addEventListener("change", offerClasses);
  byId("steps").addEventListener("input", () => stepsChosen = true);
  byId("sampler").addEventListener("change", suggestSteps);
  byId("way").addEventListener("input", () => showStep(byId("way").valueAsNumber));
  byId("draw-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!activity.running) draw();
  });
  byId("draw").hidden = false;
}

/**
 * Offers the models that there are, and chooses one.
 * @param {string} [name] default the one chosen before
 */
export function offerModels(name) {
  const select = byId("model");
  offer(select, knownModels().map(({ name, about }) => [name, `${name} (${about})`]));
  if (name !== undefined) select.value = name;
  offerClasses();
}

function offerClasses() {
  const classes = knownModels().find(({ name }) => name === byId("model").value)?.classes ?? [];
  const names = classes.map((name) => /** @type {const} */ ([name, name]));
  offer(byId("class"), classes.length > 0 ? [ANY, ...names, NONE] : [NONE]);
}

/** The model that was drawn with last: its defaults are known. @type {import("../../web.ts").DiffusionModel | undefined} */
let drawnWith;

function suggestSteps() {
  if (stepsChosen || !drawnWith) return;
  byId("steps").value = drawnWith.plan({ sampler: byId("sampler").value }).steps;
}

async function draw() {
  showTrouble("");
  await activity.run(async () => {
    try {
      await drawPictures();
    } catch (error) {
      activity.say(activity.signal.aborted ? "Stopped" : "");
      if (!activity.signal.aborted) showTrouble(explain(error));
    }
  });
}

async function drawPictures() {
  const name = byId("model").value;
  activity.show(`Loading ${name} …`, { done: 0 });
  announce(`Loading ${name}`);
  const model = await loadModel(name, (bytes, total) => {
    activity.show(
      `Loading ${name}: ${megabytes(bytes)}${total === undefined ? "" : ` of ${megabytes(total)}`}`,
      { done: bytes, total },
    );
  }, activity.signal);
  drawnWith = model;
  const seed = byId("seed").value === "" ? Math.floor(Math.random() * 1e6) : Number(byId("seed").value);
  const options = {
    class: byId("class").value,
    count: byId("count").valueAsNumber,
    sampler: byId("sampler").value,
    steps: byId("steps").valueAsNumber,
    seed,
    ...byId("class").value === "none" ? {} : { guidance: byId("guidance").valueAsNumber },
  };
  const { labels, steps } = model.plan(options);
  activity.show("Preparing the kernels for this device …", { done: 0, total: steps });
  announce("Drawing");
  const began = performance.now();
  clear(
    labels.map((label, i) =>
      `${typeof label === "number" ? model.classes[label] ?? "no class" : "mixture"}, seed ${seed + i}`
    ),
  );
  for await (const { done, total, images } of model.generateSteps(options)) {
    way.push(images);
    showStep(way.length);
    activity.show(`Step ${done} of ${total}`, { done, total });
    await activity.turn();
    if (activity.signal.aborted && done < total) {
      activity.say(`Stopped after step ${done} of ${total}`);
      return;
    }
  }
  const seconds = ((performance.now() - began) / 1000).toPrecision(2);
  activity.say(`${tiles.length === 1 ? "1 picture" : `${tiles.length} pictures`} in ${seconds} s`);
  await offerFiles();
}

/** @param {readonly string[]} texts of the new pictures */
function clear(texts) {
  for (const tile of tiles) tile.remove();
  way = [];
  tiles = texts.map((text) => new Tile(text));
  byId("pictures").replaceChildren(...tiles.map(({ figure }) => figure));
  byId("way-field").hidden = true;
}

/**
 * Shows the pictures after a step.
 * @param {number} step from 1
 */
function showStep(step) {
  const images = way[step - 1];
  if (!images) return;
  for (const [i, tile] of tiles.entries()) tile.show(images, i);
  const slider = byId("way");
  slider.max = String(way.length);
  slider.value = String(step);
  slider.setAttribute("aria-valuetext", `after step ${step} of ${way.length}`);
  byId("way-field").hidden = way.length < 2;
}

async function offerFiles() {
  const finished = way.at(-1);
  if (!finished) return;
  for (const [i, tile] of tiles.entries()) {
    const { class: name = "picture", seed = i } = finished.metadata[i] ?? {};
    tile.save(await finished.at(i).png(), `${name}-${seed}.png`);
  }
}
