import assert from "node:assert/strict";
import { Html, html, scriptJson } from "../lib/html.ts";

Deno.test("text in a template is escaped, also in lists and attributes; HTML and nothing are not", () => {
  const hostile = `<b class="x">&'`;
  const escaped = "&lt;b class=&quot;x&quot;&gt;&amp;&#39;";
  assert.equal(html`<p title="${hostile}">${hostile}</p>`.text, `<p title="${escaped}">${escaped}</p>`);
  assert.equal(html`${[hostile, html`<i>${1}</i>`]}`.text, `${escaped}<i>1</i>`);
  assert.equal(html`a${undefined}${false}${[]}b${new Html("<br>")}`.text, "ab<br>");
});

Deno.test("JSON in a script element neither ends it nor opens a comment, and reads back as it was", () => {
  const value = { name: "</script><script>alert(1)</script><!--\u2028&", values: [1, null] };
  const { text } = scriptJson(value);
  assert.doesNotMatch(text, /[<>&\u2028]/);
  assert.deepEqual(JSON.parse(text), value);
});
