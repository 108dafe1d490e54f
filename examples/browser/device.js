/**
 * The device, which drawing and training share.
 *
 * @module
 */
// @ts-types="../../web.ts"
import { openBrowserGpu } from "./denoise.js";
import { byId, showTrouble } from "./dom.js";

const WITHOUT = "This browser offers no WebGPU to this page. ";

/** @type {Promise<import("../../web.ts").Gpu> | undefined} */
let opened;

/** Why there cannot be a device; undefined if there may be one. */
export function whyNoWebGpu() {
  if (!globalThis.isSecureContext) {
    return `${WITHOUT}It does so only for addresses with https, or on the same computer (localhost).`;
  }
  if (!navigator.gpu) {
    return `${WITHOUT}Current versions of Chrome, Edge, Safari and Firefox have it, on most systems; older ones may have it ` +
      "behind a setting.";
  }
}

/** The device; after it was lost, a new one. */
export function device() {
  opened ??= open().catch((error) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

/** The fault of the device before, which what was under way on it ends with, too. @type {unknown} */
let lost;

/** What has to be let go of once the device is lost. */
export const onLost = new Set(/** @type {(() => void)[]} */ ([]));

async function open() {
  const gpu = await openBrowserGpu({
    onFault: (error) => {
      if (/was closed/.test(error.message)) return;
      opened = undefined;
      lost = error;
      for (const forget of onLost) forget();
      showTrouble(explain(error));
    },
  });
  const { name, software } = gpu.adapter;
  const adapter = byId("adapter");
  adapter.textContent = software
    ? `On ${name}, the browser’s software in place of a GPU: everything works, but slowly.`
    : `On ${name}.`;
  adapter.hidden = false;
  return gpu;
}

/**
 * An error in sentences: what happened, and what to do if the device was lost.
 * @param {unknown} error
 */
export function explain(error) {
  const advice = " Press the button again to start on a new device; if that fails, too, reload the page.";
  return sentence(error) + (error !== undefined && error === lost ? advice : "");
}

/** @param {unknown} error */
function sentence(error) {
  const text = error instanceof Error ? error.message : String(error);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}
