/**
 * HTML from templates that escape what is put into them, such as class names and paths, which may be anything.
 *
 * @module
 */

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Escapes text for HTML content and quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!); // one for each of the pattern
}

/** HTML that is inserted into {@linkcode html} as it is. */
export class Html {
  /** @param text trusted HTML */
  constructor(readonly text: string) {}

  /** The HTML's text. */
  toString(): string {
    return this.text;
  }
}

/** A value in a template: text is escaped; of nothing (`undefined`, `false`) there is nothing. */
export type HtmlPart = Html | string | number | undefined | false | readonly HtmlPart[];

/** Tag of template literals of HTML. Attributes must be quoted. */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlPart[]): Html {
  return new Html(parts.map((part, i) => (i === 0 ? "" : textOf(values[i - 1])) + part).join(""));
}

function textOf(value: HtmlPart): string {
  if (value === undefined || value === false) return "";
  if (value instanceof Html) return value.text;
  if (typeof value === "object") return value.map(textOf).join("");
  return escapeHtml(String(value));
}

/** JSON for the content of a `script` element: no sequence of characters in it ends the element or opens a comment. */
export function scriptJson(value: unknown): Html {
  return new Html(
    JSON.stringify(value).replace(
      /[<>&\u2028\u2029]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
    ),
  );
}
