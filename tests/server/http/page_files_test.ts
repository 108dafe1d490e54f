import assert from "node:assert/strict";
import { samplerNames, spacingNames, variances } from "../../../lib/diffusion/sampler.ts";
import { harness } from "../../support/server/harness.ts";

const FOLDER = new URL("../../../server/page/", import.meta.url);
const names = (await Array.fromAsync(Deno.readDir(FOLDER), ({ name }) => name)).sort();
const pathOf = (name: string) => name === "index.html" ? "/" : `/page/${name}`;

Deno.test("every file of the page is served, as what it is, without a token", async () => {
  const { ask } = harness({ token: "sesame" });
  const types: Record<string, string> = {
    html: "text/html; charset=utf-8",
    css: "text/css; charset=utf-8",
    js: "text/javascript; charset=utf-8",
    svg: "image/svg+xml",
  };
  for (const name of names) {
    const answer = await ask(pathOf(name));
    assert.equal(answer.status, 200, name);
    assert.equal(answer.headers.get("Content-Type"), types[name.split(".")[1]], name);
    assert.equal(answer.headers.get("Cache-Control"), "no-cache");
    assert.equal(await answer.text(), await Deno.readTextFile(new URL(name, FOLDER)), name);
  }
});

Deno.test("a file that a browser has already is not sent again", async () => {
  const { ask } = harness();
  const tags = new Set<string>();
  for (const name of names) {
    const tag = (await ask(pathOf(name))).headers.get("ETag")!;
    tags.add(tag);
    for (const known of [tag, `"other", W/${tag}`, "*"]) {
      const answer = await ask(pathOf(name), { headers: { "If-None-Match": known } });
      assert.deepEqual([answer.status, answer.headers.get("ETag"), await answer.text()], [304, tag, ""]);
    }
    const changed = await ask(pathOf(name), { headers: { "If-None-Match": '"other"' } });
    assert.equal(changed.status, 200);
  }
  assert.equal(tags.size, names.length);
});

Deno.test("nothing else of the folder or above it is served", async () => {
  const { ask } = harness();
  for (
    const path of [
      "/page/",
      "/page",
      "/page/other.js",
      "/page/../routes/page.ts",
      "/page/%2e%2e%2fapp.ts",
      "/index.html",
    ]
  ) {
    assert.equal((await ask(path)).status, 404, path);
  }
  assert.equal((await ask("/page/main.js", { method: "POST" })).status, 405);
});

Deno.test("the page keeps to the content policy: nothing inline, nothing from elsewhere", async () => {
  const { ask } = harness();
  const answer = await ask("/");
  const policy = answer.headers.get("Content-Security-Policy") ?? "";
  assert.match(policy, /default-src 'self'; img-src 'self' data: blob:/);
  assert.equal(policy.includes("unsafe"), false);
  const html = await answer.text();
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:/i);
  for (const name of names) {
    const text = await Deno.readTextFile(new URL(name, FOLDER));
    assert.doesNotMatch(text.replaceAll("http://www.w3.org/2000/svg", ""), /https?:|\/\/\w+\.\w/, name);
  }
});

Deno.test("the form learns the server's limits and defaults", async () => {
  const { ask } = harness({
    settings: { maxImages: 9, maxSteps: 40, sampler: "ddpm", guidance: 1.5 },
  });
  assert.deepEqual(await (await ask("/page/settings.json")).json(), {
    samplers: samplerNames,
    repeating: ["ddpm", "ddim", "euler", "euler-ancestral"],
    spacings: spacingNames,
    variances,
    takes: { eta: ["ddim"], variance: ["ddpm"], churn: ["edm"] },
    limits: { guidance: 100, resamplings: 50 },
    defaults: { sampler: "ddpm", guidance: 1.5 },
  });
  assert.deepEqual(await (await ask("/limits")).json(), { images: 9, steps: 40, work: 1_000_000 });
});
