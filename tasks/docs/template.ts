/**
 * Pages of the site: menu, content, earlier and next page.
 *
 * @module
 */
import { linkBetween } from "./links.ts";
import { API, type Page, PAGES, PARTS } from "./pages.ts";

/** Content of a page. */
export interface PageContent {
  readonly title: string;
  readonly html: string;
}

/** A page of the menu as an HTML document. */
export function pageDocument({ path }: Page, content: PageContent): string {
  const at = PAGES.findIndex((page) => page.path === path);
  const beside = ([[-1, "prev", "Before"], [1, "next", "Next"]] as const).flatMap(([step, rel, word]) => {
    const page = PAGES[at + step];
    return page
      ? [`<a rel="${rel}" href="${linkBetween(path, page.path)}">${word}: ${escaped(page.name)}</a>`]
      : [];
  });
  return document(
    path,
    content.title,
    `${content.html}<nav class="beside" aria-label="Pages">${beside.join("")}</nav>`,
  );
}

/** A source file as an HTML document. */
export function sourceDocument(path: string, file: string, html: string): string {
  const body = `<h1 class="file">${escaped(file)}</h1><pre class="source"><code>${html}</code></pre>`;
  return document(path, file, body);
}

function document(path: string, title: string, body: string): string {
  const link = (to: string) => linkBetween(path, to);
  const entry = (to: string, name: string) =>
    `<li><a href="${link(to)}"${to === path ? ' aria-current="page"' : ""}>${escaped(name)}</a></li>`;
  const parts = Object.entries(PARTS).map(([part, pages]) => {
    const entries = pages.map((page) => entry(page.path, page.name));
    if (part === "Reference") entries.unshift(entry(`${API}/index.html`, "API"));
    return `<h2>${part}</h2><ul>${entries.join("")}</ul>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}${title === "denoise" ? "" : " · denoise"}</title>
<link rel="icon" href="${link("icon.svg")}" type="image/svg+xml">
<link rel="stylesheet" href="${link("site.css")}">
</head>
<body>
<a class="skip" href="#content">Skip to the text</a>
<nav class="menu" aria-label="Documents">
<details open><summary>denoise</summary>
${parts.join("\n")}
</details>
<script>if (matchMedia("(max-width: 60rem)").matches) document.querySelector(".menu details").open = false;</script>
</nav>
<main id="content">
${body}
</main>
</body>
</html>
`;
}

/** Text in HTML. */
function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
