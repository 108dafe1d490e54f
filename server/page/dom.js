/**
 * Short ways to find and to make elements. Text always goes in as text, never as markup.
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
 * @param {Record<string, unknown>} [properties] set on the element; `className`, `textContent` and so on
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * Tells those who do not see the pictures.
 * @param {string} text
 */
export function announce(text) {
  byId("announce").textContent = text;
}
