/**
 * Bearer token of the server, stored for this tab until it is closed.
 *
 * @module
 */
import { byId } from "./dom.js";

const KEY = "denoise-token";
const dialog = byId("token");
const field = byId("token-value");

/** Syntax of a token (RFC 6750, 2.1). Browsers do not send headers with other characters. */
const FORM = /^[A-Za-z0-9._~+/-]+=*$/;

/** The token to send; empty where none is known. */
export function knownToken() {
  const token = sessionStorage.getItem(KEY) ?? "";
  return FORM.test(token) ? token : "";
}

/** The open prompt, shared by requests that fail at the same time. @type {Promise<boolean> | undefined} */
let asking;

/**
 * Asks for a token.
 * @param {string} refused the token that the server did not take; empty if none was sent
 * @returns {Promise<boolean>} whether there is another one now
 */
export function askForToken(refused) {
  if (knownToken() !== refused) return Promise.resolve(true); // given since
  asking ??= ask(refused === "" ? "" : "The server rejected this token.").finally(() => asking = undefined);
  return asking;
}

/**
 * @param {string} wrong what was wrong with the last one; empty if none was given
 * @returns {Promise<boolean>}
 */
async function ask(wrong) {
  byId("token-wrong").textContent = wrong;
  byId("token-wrong").hidden = wrong === "";
  field.value = dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  const token = field.value.trim();
  field.value = "";
  if (dialog.returnValue !== "use") return false;
  if (!FORM.test(token)) {
    return await ask("Not a valid token: expected letters, digits and any of . _ ~ + / -");
  }
  sessionStorage.setItem(KEY, token);
  return true;
}
