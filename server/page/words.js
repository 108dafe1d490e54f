/**
 * Texts of the page: numbers, durations, settings and errors.
 *
 * @module
 */
/** @import { Wish } from "./api.js" */

/** Values of `class` for one chosen by the seed, and for an unconditional picture. */
export const ANY_CLASS = "any";
export const NO_CLASS = "none";

/**
 * Display name of a class.
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
 * Settings of a picture, except class and seed.
 * @param {Wish} wish
 */
export function settingsText({ steps, sampler, ...wish }) {
  const parts = [...(wish.model === undefined ? [] : [wish.model]), plural(steps, "step"), sampler];
  if (wish.guidance !== undefined) parts.push(`guidance ${wish.guidance}`);
  if (wish.negative_class !== undefined) parts.push(`away from ${wish.negative_class}`);
  if (wish.guidance_rescale !== undefined) parts.push(`rescaled ${wish.guidance_rescale}`);
  if (wish.guidance_interval !== undefined) parts.push(`at noise levels ${wish.guidance_interval}`);
  if (wish.spacing !== undefined) parts.push(`spacing ${wish.spacing}`);
  if (wish.eta !== undefined) parts.push(`eta ${wish.eta}`);
  if (wish.variance !== undefined) parts.push(`variance ${wish.variance}`);
  if (wish.churn !== undefined) parts.push(`churn ${wish.churn}`);
  if (wish.edit) {
    const { mask, strength, resamplings } = wish.edit;
    parts.push(`${mask ? "a part of" : "from"} your picture, strength ${strength}`);
    if (resamplings > 1) parts.push(plural(resamplings, "pass", "passes"));
  }
  return parts.join(", ");
}

/** @param {{ message: string, status?: number, retryAfter?: number }} error */
export function troubleText(error) {
  const sentence = error.message.replace(/([^.?!])$/, "$1.");
  const capital = sentence.charAt(0).toUpperCase() + sentence.slice(1);
  if (error.retryAfter === undefined) return capital;
  return `${capital} The server asks to wait ${plural(error.retryAfter, "second")}.`;
}

/**
 * Command that draws the same picture. The token is a shell variable, since the command is shown and copied.
 * @param {string} url
 * @param {string} file
 * @param {boolean} withToken
 */
export function curlLine(url, file, withToken) {
  const header = withToken ? ` -H "Authorization: Bearer $TOKEN"` : "";
  return `curl${header} -fo ${file} '${url.replaceAll("'", "%27")}'`;
}
