import assert from "node:assert/strict";
import { generatePageAssets } from "../../tasks/page_assets.ts";

Deno.test("the page's files are kept byte for byte, in the order of their names", async () => {
  const files = new Map([
    ["page.css", 'p::before { content: "\\201c"; }\n'],
    ["main.js", "const text = `${1 + 1}\\n`;\n"],
  ]);
  const source = generatePageAssets(files);
  const { PAGE_FILES } = await import(`data:text/typescript,${encodeURIComponent(source)}`);
  assert.deepEqual([...PAGE_FILES], [...files].reverse());
  assert.equal(generatePageAssets(new Map([...files].reverse())), source);
});
