/**
 * Short ways to find and to make elements, and to speak to those who do not see them. Text goes in as text, never as
 * markup.
 *
 * @module
 */

/**
 * @param {string} id
 * @returns {any} the element, of whatever kind the page says it is
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties] set on the element
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * Fills a list of choices.
 *
 * @param {HTMLSelectElement} select
 * @param {readonly (readonly [value: string, text: string])[]} choices
 */
export function offer(select, choices) {
  const before = select.value;
  select.replaceChildren(...choices.map(([value, textContent]) => element("option", { value, textContent })));
  if (choices.some(([value]) => value === before)) select.value = before;
}

/**
 * Tells those who do not see the pictures.
 * @param {string} text
 */
export function announce(text) {
  byId("announce").textContent = text;
}

/**
 * Says what went wrong, at the top of the page, and what to do; an empty text takes it away.
 * @param {string} text
 */
export function showTrouble(text) {
  const trouble = byId("trouble");
  trouble.textContent = text;
  trouble.hidden = text === "";
  if (text !== "") trouble.scrollIntoView({ block: "nearest" });
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toPrecision(2)} MB`;
}
