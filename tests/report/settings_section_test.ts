import assert from "node:assert/strict";
import { differencesSection, settingsSection } from "../../lib/report/settings_section.ts";
import { runRecord } from "../support/report.ts";

/** Texts of the cells of each row. */
function rowsOf(html: string): string[][] {
  return [...html.matchAll(/<tr[^]*?<\/tr>/g)].map(([row]) =>
    [...row.matchAll(/<t[hd][^>]*>([^]*?)<\/t[hd]>/g)].map(([, cell]) => cell.replace(/<[^>]*>/g, "").trim())
  );
}

Deno.test("runs with the same settings and data say so, without a table", () => {
  const html = String(differencesSection([runRecord(), runRecord()]));
  assert.match(html, /The runs have the same settings and data/);
  assert.doesNotMatch(html, /<table/);
});

Deno.test("settings and data in which runs differ are told by run, and no others", () => {
  const dataset = { name: "birds", digest: "cd".repeat(32) };
  const runs = [runRecord({ name: "a" }), runRecord({ name: "b", dataset }, { batch: 3 })];
  const html = String(differencesSection(runs));
  assert.doesNotMatch(html, /same settings/);
  const [head, ...rows] = rowsOf(html);
  assert.deepEqual(head, ["Setting", "a", "b"]);
  assert.deepEqual(rows.find(([name]) => name === "data"), [
    "data",
    "cifar10, digest abababababab",
    "birds, digest cdcdcdcdcdcd",
  ]);
  assert.equal(rows.length, 2, JSON.stringify(rows));
  const batch = rows.find(([name]) => name !== "data")!;
  assert.equal(batch[2], "3");
});

Deno.test("of all settings those that were changed are marked", () => {
  const html = String(settingsSection(runRecord({}, { batch: 3 })));
  const marked = [...html.matchAll(/<tr\s+class="marked"\s*>([^]*?)<\/tr>/g)];
  assert.equal(marked.length, 1);
  assert.match(marked[0][1], /<span class="tag">changed<\/span>[^]*<td>3<\/td>/);
  assert.equal(html.match(/<span class="tag">changed/g)?.length, 1);
});
