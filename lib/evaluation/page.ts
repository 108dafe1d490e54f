/**
 * Report of an evaluation as one HTML file without external resources: it opens offline, and can be mailed.
 *
 * @module
 */
import { escapeHtml } from "../html.ts";

/** A table of a report. */
export interface ReportTable {
  /** Heading of each column. */
  readonly columns: readonly string[];
  /**
   * Cells by row, as many as there are columns. Columns of numbers only are aligned right, with four significant digits unless
   * they are whole.
   */
  readonly rows: readonly (readonly (string | number)[])[];
}

/** A picture of a report. */
export interface ReportPicture {
  /** The bytes of a PNG file. */
  readonly png: Uint8Array;
  /** Description of its content, for readers who cannot see it. */
  readonly description: string;
}

/** A section of a report: a heading, then what is given of text, table and pictures. */
export interface ReportSection {
  readonly heading: string;
  readonly text?: string;
  readonly table?: ReportTable;
  readonly pictures?: readonly ReportPicture[];
}

/** Contents of a report. */
export interface EvaluationReport {
  readonly title: string;
  /** What was evaluated, how, where and when: names and values. */
  readonly settings: Readonly<Record<string, string | number>>;
  readonly sections: readonly ReportSection[];
}

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1.25rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: 0.25rem 0.9rem 0.25rem 0; text-align: left; border-bottom: 1px solid #ddd; }
td { overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
`;

/**
 * The HTML of a report. Text is escaped: names of models and classes come from files and may be anything.
 *
 * @param report its contents
 */
export function reportPage({ title, settings, sections }: EvaluationReport): string {
  const facts = { columns: ["setting", "value"], rows: Object.entries(settings) };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${sections.map(sectionHtml).join("\n")}
<section>
<h2>Settings</h2>
${tableHtml(facts)}
</section>
</body>
</html>
`;
}

function sectionHtml({ heading, text, table, pictures = [] }: ReportSection): string {
  return [
    "<section>",
    `<h2>${escapeHtml(heading)}</h2>`,
    ...text === undefined ? [] : [`<p>${escapeHtml(text)}</p>`],
    ...table ? [tableHtml(table)] : [],
    ...pictures.map(({ png, description }) =>
      `<img src="data:image/png;base64,${png.toBase64()}" alt="${escapeHtml(description)}">`
    ),
    "</section>",
  ].join("\n");
}

function tableHtml({ columns, rows }: ReportTable): string {
  const isNumber = (column: number) => rows.every((row) => typeof row[column] === "number");
  const cell = (tag: "th" | "td", content: string | number, column: number) =>
    isNumber(column)
      ? `<${tag} class="number">${
        escapeHtml(typeof content === "number" ? digits(content) : content)
      }</${tag}>`
      : `<${tag}>${escapeHtml(String(content))}</${tag}>`;
  const line = (tag: "th" | "td", cells: readonly (string | number)[]) =>
    `<tr>${cells.map((content, column) => cell(tag, content, column)).join("")}</tr>`;
  return [
    "<table>",
    `<thead>${line("th", columns)}</thead>`,
    `<tbody>${rows.map((row) => line("td", row)).join("\n")}</tbody>`,
    "</table>",
  ].join("\n");
}

function digits(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(4);
}
