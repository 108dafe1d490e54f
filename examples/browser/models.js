/**
 * Models beside the page, and those that were trained on it.
 *
 * @module
 */
// @ts-types="../../web.ts"
import { DiffusionModel, fetchModelFiles } from "./denoise.js";
import { device, onLost } from "./device.js";
import { megabytes } from "./dom.js";

/**
 * @typedef {object} KnownModel
 * @property {string} name
 * @property {string} about in a few words
 * @property {readonly string[]} classes
 * @property {string} [path] where its files are, from the page
 * @property {number} [bytes] of its weights
 * @property {import("../../web.ts").ModelFiles} [files] of a model that was trained here
 */

/** @type {Map<string, KnownModel>} */
const known = new Map();
/** The one on the device. @type {{ of: KnownModel, model: DiffusionModel } | undefined} */
let loaded;

onLost.add(() => loaded = undefined);

/** Models by name, those beside the page first. */
export function knownModels() {
  return [...known.values()];
}

/** Reads which models are beside the page. */
export async function listModels() {
  const response = await fetch("models.json");
  if (!response.ok) throw new Error(`models.json is missing beside the page (${response.status})`);
  for (const each of /** @type {Required<KnownModel>[]} */ (await response.json())) {
    known.set(each.name, { ...each, about: `${each.about}, ${megabytes(each.bytes)}` });
  }
}

/**
 * Adds a model that was trained here, or replaces it.
 * @param {KnownModel} model
 */
export function addModel(model) {
  known.set(model.name, model);
}

/**
 * Brings a model to the device, in place of the one before.
 *
 * @param {string} name
 * @param {(bytes: number, total: number | undefined) => void} onProgress of its download
 * @param {AbortSignal} signal
 */
export async function loadModel(name, onProgress, signal) {
  const found = known.get(name);
  if (!found) throw new Error(`there is no model ${name}`);
  if (loaded?.of === found) return loaded.model;
  const files = found.files ?? await fetchModelFiles(found.path ?? name, {
    onProgress: ({ file, bytes, total }) => {
      if (file.endsWith(".safetensors")) onProgress(bytes, total ?? found.bytes);
    },
    signal,
  });
  await unload();
  const model = await DiffusionModel.fromFiles(files, { gpu: await device() });
  loaded = { of: found, model };
  return model;
}

async function unload() {
  const before = loaded;
  loaded = undefined;
  await before?.model.close();
}
