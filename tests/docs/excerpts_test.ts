/** Code blocks with a `title=FILE` show that file's lines; `…` alone on a line stands for lines left out. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { blocksOf, DOCUMENTS, ROOT } from "../support/documents.ts";

/** Parts of a block that each stand in the file, in this order. */
function partsOf(code: string): string[] {
  return code.split(/^\s*…\n/m).filter((part) => part !== "");
}

/** Without indentation, which the formatter of documents changes. */
function unindented(text: string): string {
  return text.replace(/^[ \t]+/gm, "");
}

/** True if the parts stand in a text one after the other, each as whole lines, but for indentation. */
function shows(whole: string, shown: readonly string[]): boolean {
  const [text, parts] = [unindented(whole), shown.map(unindented)];
  let from = 0;
  for (const part of parts) {
    const at = `\n${text}`.indexOf(`\n${part}`, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return true;
}

Deno.test("an excerpt is whole lines of the file, in their order", () => {
  const text = "one\n two\nthree\nfour\n";
  assert.ok(shows(text, partsOf("one\ntwo\n…\nfour\n")));
  assert.ok(!shows(text, partsOf("wo\n")));
  assert.ok(!shows(text, partsOf("four\n…\none\n")));
  assert.ok(!shows(text, partsOf("thre\n")));
});

Deno.test("excerpts in the documents are what the code says", async () => {
  const blocks = (await Promise.all(DOCUMENTS.map(blocksOf))).flat();
  let count = 0;
  for (const { document, line, info, code } of blocks) {
    const file = /^title=(\S+)$/.exec(info)?.[1];
    if (file === undefined) continue;
    count++;
    const text = await Deno.readTextFile(join(ROOT, file));
    assert.ok(shows(text, partsOf(code)), `${document}:${line}: not in ${file}`);
  }
  assert.ok(count >= 10);
});
