import assert from "node:assert/strict";
import { reportPage } from "../../lib/evaluation/page.ts";

const report = {
  title: "Evaluation of <model> & co",
  settings: { model: "runs/'a'", images: 1000 },
  sections: [{
    heading: "Bits per dimension",
    text: 'less is "better"',
    table: { columns: ["t < 10", "bits"], rows: [["0 to 9", 1.25], ["10 to 99", 0.5]] },
    pictures: [{ png: Uint8Array.of(1, 2, 3), description: 'a "chart"' }],
  }],
};

Deno.test("a report is one HTML file that refers to nothing outside it", () => {
  const html = reportPage(report);
  for (const [, address] of html.matchAll(/(?:src|href|url)\s*[=(]\s*"?([^"\s>)]*)/g)) {
    assert.match(address, /^data:image\/png;base64,/);
  }
  assert.doesNotMatch(html, /https?:|<script|<link|@import/);
  assert.match(html, /default-src 'none'/);
  assert.match(html, /src="data:image\/png;base64,AQID" alt="a &quot;chart&quot;"/);
});

Deno.test("a report escapes all text", () => {
  const html = reportPage(report);
  assert.match(html, /<h1>Evaluation of &lt;model&gt; &amp; co<\/h1>/);
  assert.match(html, /<td>runs\/&#39;a&#39;<\/td>/);
  assert.match(html, /<th>t &lt; 10<\/th>/);
  assert.match(html, /<p>less is &quot;better&quot;<\/p>/);
});

Deno.test("a report aligns columns of numbers right, with their headings, and gives them four digits", () => {
  const html = reportPage(report);
  assert.match(html, /<th>t &lt; 10<\/th><th class="number">bits<\/th>/);
  assert.match(html, /<td>0 to 9<\/td><td class="number">1.250<\/td>/);
  // The settings' values are names and numbers.
  assert.match(html, /<td>images<\/td><td>1000<\/td>/);
});
