/** The site that `deno task docs` makes. */
import assert from "node:assert/strict";
import { dirname, join, posix } from "node:path";
import { buildSite } from "../../tasks/docs/build.ts";
import { renderMarkdown, renderSource } from "../../tasks/docs/markdown.ts";
import { PAGES } from "../../tasks/docs/pages.ts";
import { runTask } from "../support/command.ts";
import { ROOT } from "../support/documents.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("formulas become MathML, code is highlighted, and what is no markup stays text", () => {
  const { title, html } = renderMarkdown(
    "# A $x_t$\n\n$$\\sqrt{\\bar\\alpha_t}$$\n\n```ts\nconst a = 1;\n```\n\n<script>alert(1)</script>\n",
    (href) => href,
  );
  assert.match(title, /^A/);
  assert.equal(html.match(/<math/g)?.length, 2);
  assert.match(html, /<span class="hljs-keyword">const<\/span>/);
  assert.ok(!html.includes("<script>"));
});

Deno.test("a comment over several lines is one in each of them", () => {
  const [first, second] = renderSource("/* a\nb */\n", "x.ts").split("\n");
  for (const line of [first, second]) {
    assert.match(line, /^<span class="line" id="L\d"><span class="hljs-comment">.*<\/span><\/span>$/);
  }
});

Deno.test("every link within the site leads to a file of it", async () => {
  const { files } = await buildSite(ROOT);
  const broken: string[] = [];
  for (const [path, content] of files) {
    if (!path.endsWith(".html")) continue;
    for (const [, to] of String(content).matchAll(/(?:href|src)="([^"#]*)/g)) {
      if (to === "" || /^[a-z]+:/.test(to)) continue;
      const target = posix.normalize(posix.join(dirname(path), to));
      if (!files.has(target) && !target.startsWith("api/")) broken.push(`${path}: ${to}`);
    }
  }
  assert.deepEqual(broken, []);
  for (const { path } of PAGES) assert.ok(files.has(path), path);
});

Deno.test("deno task docs makes the site with the API reference, and replaces only its own", async () => {
  await inTemporaryDirectory(async (directory) => {
    const out = join(directory, "site");
    for (let i = 0; i < 2; i++) {
      const { code, err } = await runTask("docs", ["--out", out], directory);
      assert.deepEqual([code, err], [0, ""]);
      assert.match(await Deno.readTextFile(join(out, "index.html")), /<title>denoise<\/title>/);
      assert.match(await Deno.readTextFile(join(out, "api/index.html")), /DDPM/);
    }
    await Deno.mkdir(join(directory, "mine"));
    await Deno.writeTextFile(join(directory, "mine/thesis.txt"), "");
    const refused = await runTask("docs", ["--out", "mine"], directory);
    assert.equal(refused.code, 2);
    assert.match(
      refused.err,
      /--out: expected a new folder, or one with an earlier site \(found thesis\.txt\)/,
    );
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), ["mine", "site"]);
  });
});
