/**
 * Training: the loss falls, and noise turns into pictures.
 *
 * @module
 */
// @ts-types="../../web.ts"
import { trainInMemory } from "./denoise.js";
import { Activity } from "./activity.js";
import { Curve } from "./curve.js";
import { device, explain } from "./device.js";
import { announce, byId, showTrouble } from "./dom.js";
import { offerModels } from "./draw.js";
import { addModel } from "./models.js";
import { Tile } from "./pictures.js";
import { listPacked, ownImages, packedImages } from "./training_images.js";

/** Name of the model that is trained here. */
const OWN = "yours";

/** Points of the curve, roughly. */
const POINTS = 200;

const activity = new Activity("train");
/** @type {import("./training_images.js").Packed | undefined} */
let packed;

/** Makes the form ready. */
export async function startTraining() {
  packed = await listPacked();
  if (packed) byId("packed").textContent = `${packed.count} of ${packed.name}`;
  byId("packed-field").hidden = !packed;
  byId("source").addEventListener("change", showSource);
  showSource();
  byId("train-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!activity.running) train();
  });
  byId("train").hidden = false;
}

function fromFolder() {
  return !packed || byId("source").value === "own";
}

function showSource() {
  byId("own-field").hidden = !fromFolder();
  byId("files").required = fromFolder();
}

async function train() {
  showTrouble("");
  await activity.run(async () => {
    try {
      await trainOn(await readImages());
    } catch (error) {
      activity.say(activity.signal.aborted ? "Stopped" : "");
      if (!activity.signal.aborted) showTrouble(explain(error));
    }
  });
}

async function readImages() {
  activity.show("Reading the pictures …", { done: 0 });
  if (packed && !fromFolder()) return await packedImages(packed);
  return await ownImages([...byId("files").files], (done, total) => {
    activity.show(`Reading the pictures: ${done} of ${total}`, { done, total });
  }, activity.signal);
}

/** @param {import("../../web.ts").ImageDataset} data */
async function trainOn(data) {
  activity.show("Preparing the kernels for this device …", { done: 0 });
  announce("Training");
  /** @type {Curve | undefined} */
  let curve;
  let totalSteps = 0;
  const epochs = byId("epochs").valueAsNumber;
  const batch = byId("batch").valueAsNumber;
  const events = trainInMemory({
    data,
    preset: "tiny",
    epochs,
    batch,
    samplesPerClass: data.classes.length > 4 ? 1 : 4,
    logEvery: Math.max(1, Math.floor(epochs * data.count / batch / POINTS)),
    signal: activity.signal,
    gpu: await device(),
  });
  for await (const event of events) {
    switch (event.type) {
      case "start":
        totalSteps = event.totalSteps;
        curve = new Curve(totalSteps);
        break;
      case "step":
        curve?.addTraining({ step: event.step, loss: event.loss });
        activity.show(describeStep(event, totalSteps, epochs), { done: event.step, total: totalSteps });
        break;
      case "epoch":
        if (event.valLoss !== null) curve?.addValidation({ step: event.step, loss: event.valLoss });
        announce(`Epoch ${event.epoch} of ${epochs}: loss ${event.trainLoss.toFixed(3)}`);
        break;
      case "samples":
        showSamples(event);
        break;
      case "checkpoint":
        addModel({ name: OWN, about: "trained on this page", classes: data.classes, files: event.model });
        offerModels();
        break;
      case "warning":
        console.warn(event.message);
        break;
      case "end":
        offerModels(OWN);
        activity.say(
          `${event.interrupted ? "Stopped" : "Done"} after ${event.step} steps, ${
            Math.round(event.seconds)
          } s. ` +
            "Draw with the model: it is the one chosen above.",
        );
    }
    await activity.turn();
  }
}

/**
 * @param {import("../../web.ts").StepEvent} event
 * @param {number} steps in all
 * @param {number} epochs in all
 */
function describeStep({ step, epoch, loss, imagesPerSecond, remainingSeconds }, steps, epochs) {
  const left = remainingSeconds > 90
    ? `${Math.round(remainingSeconds / 60)} min`
    : `${Math.ceil(remainingSeconds)} s`;
  return `Step ${step} of ${steps}, epoch ${epoch} of ${epochs}: loss ${loss.toFixed(3)}, ` +
    `${Math.round(imagesPerSecond)} pictures a second, ${left} left`;
}

/** @param {import("../../web.ts").SamplesEvent} event */
function showSamples({ images, columns, rowLabels, epoch }) {
  const tiles = Array.from({ length: images.count }, (_, i) => {
    const tile = new Tile(rowLabels[Math.floor(i / columns)] ?? "sample");
    tile.show(images, i);
    return tile.figure;
  });
  byId("samples").replaceChildren(...tiles);
  byId("samples-title").textContent = `What it draws after epoch ${epoch}`;
  byId("samples-part").hidden = false;
}
