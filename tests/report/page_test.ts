import assert from "node:assert/strict";
import { reportHtml } from "../../lib/report/page.ts";
import { readChartLibrary } from "../../lib/report/uplot.ts";
import { reportTest, runRecord } from "../support/report.ts";

const HOSTILE = `</script><script>document.title="taken"</script><!--<img src=x onerror=alert(1)>"'`;

async function pageOf(...runs: ReturnType<typeof runRecord>[]): Promise<string> {
  return reportHtml(runs, { charts: await readChartLibrary(), time: "2026-12-01T00:00:00Z" });
}

Deno.test("a page has its content, a policy by digests, and nothing to load", async () => {
  const html = await pageOf(runRecord());
  const [policy] = html.match(/Content-Security-Policy"\s+content="[^"]*"/) ?? [];
  assert.match(
    policy!,
    /default-src 'none'; img-src data:; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'/,
  );
  assert.doesNotMatch(html.replace(/<script>[^]*?<\/script>/, ""), /(src|href)="(?!data:)/);
});

let file: string | undefined;
Deno.test.afterAll(async () => {
  if (file) await Deno.remove(file);
});

reportTest("names, paths and settings of any text are harmless", {}, async () => {
  const dataset = { name: HOSTILE, digest: HOSTILE, source: HOSTILE };
  const run = runRecord({
    ...{ name: HOSTILE, directory: HOSTILE, classes: [HOSTILE, "dog"], dataset, init: HOSTILE },
    machine: { adapter: { name: HOSTILE }, driver: HOSTILE, system: HOSTILE },
    commands: { repeat: HOSTILE, sample: HOSTILE },
  });
  file = await Deno.makeTempFile({ suffix: ".html" });
  await Deno.writeTextFile(file, await pageOf(run, runRecord({ name: `${HOSTILE} 2` })));
  return file;
}, async (page) => {
  assert.equal(await page.title(), "Comparison of 2 runs – denoise training report");
  assert.equal(await page.locator(".runs li").count(), 2);
  assert.ok((await page.locator(".runs").textContent())!.includes(HOSTILE));
  const names = await page.locator('[data-chart="validation-loss"] .legend .name')
    .allTextContents();
  assert.deepEqual(names, [HOSTILE, `${HOSTILE} 2`]);
  assert.equal(await page.locator("img").count(), 0);
});
