/**
 * Markdown to HTML: tables, highlighted code, formulas as MathML, headings with anchors.
 *
 * @module
 */
import formulas from "npm:@vscode/markdown-it-katex@1.1.2";
import highlight from "npm:highlight.js@11.12.0";
import MarkdownIt from "npm:markdown-it@15.0.3";
import anchor from "npm:markdown-it-anchor@10.0.0";
import katex from "npm:katex@0.16.22";
import GithubSlugger from "npm:github-slugger@2.0.0";

/** Languages of code blocks that go by another name in highlight.js, or by that of a language with much the same words. */
const LANGUAGES: Readonly<Record<string, string>> = {
  wgsl: "rust",
  console: "shell",
  sh: "bash",
  text: "plaintext",
};

/** KaTeX whose output needs neither a style sheet nor fonts. */
const mathml = {
  ...katex,
  renderToString: (formula: string, options?: katex.KatexOptions) =>
    katex.renderToString(formula, { ...options, output: "mathml" }),
};

/** A document as HTML. */
export interface RenderedDocument {
  readonly title: string;
  readonly html: string;
}

/**
 * Renders a document.
 *
 * @param link gives the address of a link or picture in the page
 */
export function renderMarkdown(text: string, link: (href: string) => string): RenderedDocument {
  const slugger = new GithubSlugger();
  const markdown = new MarkdownIt({ html: false, highlight: (code, info) => highlighted(code, info) })
    .use(anchor, {
      slugify: (heading: string) => slugger.slug(heading),
      permalink: anchor.permalink.headerLink(),
    })
    .use(formulas.default, { katex: mathml, throwOnError: true });
  const tokens = markdown.parse(text, {});
  for (const token of tokens.flatMap((token) => [token, ...(token.children ?? [])])) {
    const name = token.type === "link_open" ? "href" : token.type === "image" ? "src" : undefined;
    const address = name && token.attrGet(name);
    if (name && address) token.attrSet(name, link(String(address)));
  }
  const first = tokens.findIndex(({ type }) => type === "heading_open");
  const title = tokens[first + 1]?.content ?? "";
  return { title, html: markdown.renderer.render(tokens, markdown.options, {}) };
}

/** Source code as HTML, its lines numbered and with anchors. */
export function renderSource(code: string, file: string): string {
  const lines = splitLines(highlighted(code.trimEnd(), file.split(".").pop() ?? ""));
  return lines.map((line, i) => `<span class="line" id="L${i + 1}">${line}</span>`).join("\n");
}

/** Lines of HTML; a span that goes over several, as of a comment, is closed and opened again. */
function splitLines(html: string): string[] {
  const open: string[] = [];
  return html.split("\n").map((line) => {
    const before = open.join("");
    for (const [tag] of line.matchAll(/<\/?span[^>]*>/g)) {
      if (tag.startsWith("</")) open.pop();
      else open.push(tag);
    }
    return before + line + "</span>".repeat(open.length);
  });
}

function highlighted(code: string, info: string): string {
  const [name = ""] = info.trim().split(/\s/);
  const language = LANGUAGES[name] ?? name;
  if (!highlight.getLanguage(language)) return new MarkdownIt().utils.escapeHtml(code);
  return highlight.highlight(code, { language }).value;
}
