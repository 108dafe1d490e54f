/** Links and pictures of the documents. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readDocument } from "../../tasks/docs/documents.ts";
import { resolveLink } from "../../tasks/docs/links.ts";
import { renderMarkdown } from "../../tasks/docs/markdown.ts";
import { PAGES } from "../../tasks/docs/pages.ts";
import { DOCUMENTS, ROOT } from "../support/documents.ts";

/** Anchors of a document as rendered. */
async function anchorsOf(file: string): Promise<Set<string>> {
  const { html } = renderMarkdown(await readDocument(ROOT, file), (href) => href);
  return new Set([...html.matchAll(/<h\d id="([^"]+)"/g)].map(([, id]) => id));
}

Deno.test("links of the documents lead to what is there", async () => {
  const anchors = new Map<string, Set<string>>();
  for (const file of DOCUMENTS) anchors.set(file, await anchorsOf(file));
  const broken: string[] = [];
  let count = 0;
  for (const document of DOCUMENTS) {
    renderMarkdown(await readDocument(ROOT, document), (href) => {
      count++;
      const target = resolveLink(href, document);
      if (target.kind === "file" && !exists(target.file)) broken.push(`${document}: ${href}`);
      const hash = target.kind === "page" ? target.hash : href.startsWith("#") ? href : "";
      const at = target.kind === "page" ? PAGES.find(({ path }) => path === target.path)!.file : document;
      if (hash && !anchors.get(at)!.has(hash.slice(1))) broken.push(`${document}: no heading for ${href}`);
      return href;
    });
  }
  assert.deepEqual(broken, []);
  assert.ok(count > 100);
});

Deno.test("every document in docs/ is in the site's menu", async () => {
  const files = [];
  for await (const { name } of Deno.readDir(join(ROOT, "docs"))) {
    if (name.endsWith(".md")) files.push(`docs/${name}`);
  }
  const listed = new Set(PAGES.map(({ file }) => file));
  assert.deepEqual(files.filter((file) => !listed.has(file)), []);
});

function exists(file: string): boolean {
  try {
    return Deno.statSync(join(ROOT, file)) !== undefined;
  } catch {
    return false;
  }
}
