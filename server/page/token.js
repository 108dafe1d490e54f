/**
 * The token that a server may ask for. It is kept for this tab alone and forgotten when the tab is closed.
 *
 * @module
 */
import { byId } from "./dom.js";

const KEY = "denoise-token";
const dialog = byId("token");
const field = byId("token-value");

/** The token to send; empty where none is known. */
export function knownToken() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** The question under way, so that requests that fail together ask once. @type {Promise<boolean> | undefined} */
let asking;

/**
 * Asks for a token.
 * @param {string} refused the token that the server did not take; empty if none was sent
 * @returns {Promise<boolean>} whether there is another one now
 */
export function askForToken(refused) {
  if (knownToken() !== refused) return Promise.resolve(true); // given since
  asking ??= ask(refused !== "").finally(() => asking = undefined);
  return asking;
}

/**
 * @param {boolean} again
 * @returns {Promise<boolean>}
 */
function ask(again) {
  byId("token-wrong").hidden = !again;
  field.value = dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "use" && field.value !== "";
      if (given) sessionStorage.setItem(KEY, field.value);
      field.value = "";
      resolve(given);
    }, { once: true });
  });
}
