/**
 * Short ways to create elements. Text is set as text, never as HTML.
 *
 * @module
 */

/**
 * Creates an element.
 *
 * @param tag its name
 * @param attributes by name; those that are undefined are left out
 * @param children elements and texts
 */
export function element(tag, attributes = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) created.setAttribute(name, value);
  }
  created.append(...children);
  return created;
}

/** A labelled control. */
export function labelled(text, control) {
  return element("label", {}, element("span", {}, text), control);
}

/** A button that calls `act`. */
export function button(text, label, act) {
  const created = element("button", { type: "button", "aria-label": label, title: label }, text);
  created.addEventListener("click", act);
  return created;
}

/** A colour of the page's style. */
export function colorOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
