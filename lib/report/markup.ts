/**
 * Parts that a report's sections are made of.
 *
 * @module
 */
import { type Html, html, type HtmlPart } from "../html.ts";
import type { PictureFile } from "./run_record.ts";

/** A term and its value; without a value it is left out. */
export type Fact = readonly [term: string, value: HtmlPart];

/** A section with its heading; undefined without content. */
export function section(id: string, heading: string, content: readonly HtmlPart[]): Html | undefined {
  const present = content.filter((part) => part !== undefined && part !== false);
  if (present.length === 0) return undefined;
  return html`
    <section id="${id}" aria-labelledby="${id}-heading">
    <h2 id="${id}-heading">${heading}</h2>
    ${present}
    </section>
  `;
}

/** A list of terms and values. */
export function factList(facts: readonly Fact[], className = "facts"): Html | undefined {
  const known = facts.filter(([, value]) => value !== undefined && value !== "");
  if (known.length === 0) return undefined;
  return html`<dl class="${className}">${
    known.map(([term, value]) =>
      html`
        <div>
          <dt>${term}</dt>
          <dd>${value}</dd>
        </div>
      `
    )
  }</dl>`;
}

/** A row of a table; `marked` tells it from the others. */
export interface Row {
  readonly heading: HtmlPart;
  readonly cells: readonly HtmlPart[];
  readonly marked?: boolean;
}

/** A table whose rows have headings. */
export function rowTable(caption: string, columns: readonly HtmlPart[], rows: readonly Row[]): Html {
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="${caption}">
      <table>
        <caption>${caption}</caption>
        <thead>
          <tr>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr>
        </thead>
        <tbody>${rows.map(({ heading, cells, marked }) =>
          html`<tr${
            marked && html`
              class="marked"
            `
          }><th scope="row">${heading}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>\n`
        )}</tbody>
      </table>
    </div>
  `;
}

/** Content that is folded away at first. */
export function folded(summary: string, content: HtmlPart): Html {
  return html`<details><summary>${summary}</summary>${content}</details>`;
}

/** A picture with its caption. */
export function captioned(
  picture: PictureFile | undefined,
  description: string,
  className = "",
): Html | undefined {
  return picture && html`
    <figure
      class="${className}"><img src="${dataUrl(
        picture,
      )}" alt="${description}"><figcaption>${description}</figcaption></figure>
  `;
}

/** A picture as a URL that holds its bytes. */
export function dataUrl({ bytes, type }: PictureFile): string {
  return `data:${type};base64,${bytes.toBase64()}`;
}

/** A command to copy. */
export function command(label: string, text: string | undefined): Html | undefined {
  return text === undefined ? undefined : html`
    <p class="command-label">${label}</p>
    <pre class="command"><code>${text}</code></pre>
  `;
}
