/**
 * What the page says about numbers and errors.
 *
 * @module
 */
/** @import { Wish } from "./api.js" */

/** What a request says for a class that the seed chooses, and for none. */
export const ANY_CLASS = "any";
export const NO_CLASS = "none";

/**
 * How a class is called on the page.
 * @param {string} name
 */
export function className(name) {
  if (name === ANY_CLASS) return "any class";
  return name === NO_CLASS ? "no class" : name;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** @param {number} milliseconds */
export function duration(milliseconds) {
  const seconds = milliseconds / 1000;
  return seconds < 9.95 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

/**
 * How a picture is drawn, class and seed aside.
 * @param {Wish} wish
 */
export function settingsText({ steps, sampler, guidance }) {
  return `${plural(steps, "step")}, ${sampler}${guidance === undefined ? "" : `, guidance ${guidance}`}`;
}

/** @param {{ message: string, status?: number, retryAfter?: number }} error */
export function troubleText(error) {
  const sentence = error.message.replace(/([^.?!])$/, "$1.");
  const capital = sentence.charAt(0).toUpperCase() + sentence.slice(1);
  if (error.retryAfter === undefined) return capital;
  return `${capital} The server asks to wait ${plural(error.retryAfter, "second")}.`;
}

/**
 * The command that draws the same picture. The token is not written out: what is copied is shown and kept.
 * @param {string} url
 * @param {string} file
 * @param {boolean} withToken
 */
export function curlLine(url, file, withToken) {
  const header = withToken ? ` -H "Authorization: Bearer $TOKEN"` : "";
  return `curl${header} -o ${file} '${url.replaceAll("'", "%27")}'`;
}
