import assert from "node:assert/strict";
import { describeBits, drawLosses, likelihoodSections } from "../../lib/evaluation/likelihood_report.ts";
import type { Likelihood } from "../../lib/evaluation/likelihood_result.ts";
import { reportPage } from "../../lib/evaluation/page.ts";
import { decodePng } from "../support/read_png.ts";

const result: Likelihood = {
  images: 12,
  bitsPerDimension: 3.751,
  standardError: 0.0234,
  prior: 1e-5,
  decoder: 2,
  terms: [{ timesteps: [1, 1], bits: 1.5, count: 1 }, { timesteps: [2, 9], bits: 0.25099, count: 8 }],
  losses: [
    { timesteps: [0, 4], target: 0.25, noise: 0.25, x0: 0.002 },
    { timesteps: [5, 9], target: 0.05, noise: 0.05, x0: 0 },
  ],
};

Deno.test("bits per dimension are given with two digits of their standard error", () => {
  assert.equal(describeBits(result), "3.751 ± 0.023");
  assert.equal(describeBits({ ...result, standardError: 0.2 }), "3.75 ± 0.20");
  assert.equal(describeBits({ ...result, standardError: 0.00012 }), "3.75100 ± 0.00012");
  assert.equal(describeBits({ ...result, standardError: 0 }), "3.751000 ± 0.000000");
  assert.equal(describeBits({ ...result, standardError: null }), "3.75");
});

Deno.test("a report on likelihood has the parts of the bound, its terms, and the losses", async () => {
  const sections = await likelihoodSections(result, assert.fail);
  const html = reportPage({ title: "test", settings: {}, sections });
  assert.match(html, /3\.751 ± 0\.023/);
  assert.match(html, /<td>steps in between<\/td><td class="number">1\.751<\/td>/);
  assert.match(html, /<td>2 to 9<\/td><td class="number">0\.2510<\/td><td class="number">0\.03137<\/td>/);
  assert.match(html, /<td>0 to 4<\/td><td class="number">0\.2500<\/td>/);
  assert.equal(html.match(/<img /g)?.length, 2);
});

Deno.test("the chart of losses leaves out an error of zero, which has no logarithm", async () => {
  const { png } = await drawLosses(result);
  const { width, height } = decodePng(png);
  assert.deepEqual([width, height], [900, 560]);
});
