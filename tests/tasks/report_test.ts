import assert from "node:assert/strict";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { makeMaterial, runTask, TRAINING } from "../support/command.ts";
import { reportTest } from "../support/report.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** A class that would run a script if its name were HTML. */
const HOSTILE = `<img src=x onerror="document.title='taken'">`;

let folder: Promise<string> | undefined;
Deno.test.afterAll(async () => {
  if (folder) await Deno.remove(await folder, { recursive: true });
});

/** Folder with two real runs, of four and of three epochs, and a comparison of them. */
function trained(): Promise<string> {
  folder ??= (async () => {
    const directory = await Deno.makeTempDir();
    await makeMaterial(directory);
    await Deno.rename(join(directory, "images/light"), join(directory, "images", HOSTILE));
    const common = [...TRAINING, "--sample-every", "1", "--sample-steps", "2", "--samples-per-class", "1"];
    for (const [out, ...args] of [["a", "--epochs", "4"], ["b", "--epochs", "3", "--lr", "0.01"]]) {
      const { code, err } = await runTask("train", [...common, "--out", out, ...args], directory);
      assert.deepEqual([code, err], [0, ""]);
    }
    const { code, out } = await runTask("report", ["a", "b"], directory);
    assert.deepEqual([code, out], [0, "report: comparison.html\n"]);
    return directory;
  })();
  return folder;
}

/** Pixels of a chart that are not transparent. */
function drawnPixels(page: Page, chart: string): Promise<number> {
  return page.evaluate(`(() => {
    const canvas = document.querySelector('[data-chart="${chart}"] canvas');
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, i) => i % 4 === 3 && value > 0).length;
  })()`);
}

/** Numbers in a chart's legend. */
async function values(page: Page, chart: string): Promise<string[]> {
  return await page.locator(`[data-chart="${chart}"] .legend .value`).allTextContents();
}

reportTest(
  "a run's report shows its curves, which are zoomed together and read off",
  {},
  async () => join(await trained(), "a/report.html"),
  async (page) => {
    assert.equal(await page.locator("h1").textContent(), "a");
    assert.match(await page.locator(".state").textContent() ?? "", /^Finished\.$/);
    const charts: string[] = await page.evaluate(
      "[...document.querySelectorAll('.chart')].map(({ dataset }) => dataset.chart)",
    );
    assert.deepEqual(charts, ["loss", "learning-rate", "gradient-norm", "speed"]);
    for (const chart of charts) assert.ok(await drawnPixels(page, chart) > 1000, chart);

    // Values at the cursor, by mouse and by keyboard
    const last = await values(page, "loss");
    assert.equal(last.length, 3);
    const place = page.locator('[data-chart="loss"] .u-over');
    const box = (await place.boundingBox())!;
    await page.mouse.move(box.x + 2, box.y + 50);
    assert.notDeepEqual(await values(page, "loss"), last);
    await page.mouse.move(0, 0);
    assert.deepEqual(await values(page, "loss"), last);
    await page.locator('[data-chart="loss"] .plot').press("ArrowLeft");
    await page.locator('[data-chart="loss"] .plot').press("ArrowLeft");
    assert.notEqual((await values(page, "loss"))[0], last[0]);
    assert.match(
      (await page.locator(".unseen").textContent())!,
      /^at \d+ optimizer steps: training, by step 0\.\d+, /,
    );

    // A drag zooms all charts, a button shows the whole run again
    const whole = page.getByRole("button", { name: "Show the whole run" });
    assert.ok(await whole.isDisabled());
    const before = await drawnPixels(page, "speed");
    await page.mouse.move(box.x + box.width / 4, box.y + 50);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, box.y + 60, { steps: 4 });
    await page.mouse.up();
    assert.ok(await whole.isEnabled());
    assert.notEqual(await drawnPixels(page, "speed"), before);
    await whole.click();
    assert.ok(await whole.isDisabled());

    // On paper the charts are as wide as that
    const width = () => page.evaluate(`document.querySelector('[data-chart="speed"] canvas').clientWidth`);
    const onScreen = await width();
    await page.evaluate("dispatchEvent(new Event('beforeprint'))");
    assert.equal(await width(), 324);
    await page.evaluate("dispatchEvent(new Event('afterprint'))");
    assert.equal(await width(), onScreen);

    await page.getByRole("combobox", { name: "Axis" }).selectOption("epochs");
    await page.getByLabel("Smoothing").fill("0.9");
    assert.notEqual((await values(page, "loss"))[0], last[0]);
    await page.getByRole("button", { name: /^Show or hide validation/ }).click();
    assert.ok(await drawnPixels(page, "loss") > 1000);
  },
);

reportTest(
  "the slider changes the sample grid, and every picture is there",
  { browser: { colorScheme: "dark", viewport: { width: 390, height: 844 } } },
  async () => join(await trained(), "a/report.html"),
  async (page) => {
    const grid = page.locator("#samples img");
    const [slider, output] = [page.getByLabel("Epoch of the samples"), page.locator(".slider output")];
    assert.equal(await output.textContent(), "epoch 4");
    const newest = await grid.getAttribute("src");
    await slider.fill("0");
    assert.equal(await output.textContent(), "epoch 1");
    assert.notEqual(await grid.getAttribute("src"), newest);
    await page.getByRole("button", { name: "Later epoch" }).click();
    assert.equal(await output.textContent(), "epoch 2");
    const broken = await page.evaluate(
      "[...document.images].filter(({ naturalWidth }) => naturalWidth === 0).length",
    );
    assert.deepEqual([await page.locator("img").count(), broken], [5, 0]);
    const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
    assert.ok(Number(overflow) <= 0, `the page is ${overflow} pixels too wide for a phone`);
  },
);

reportTest(
  "names from the data are text, and the commands repeat the run and draw from it",
  {},
  async () => join(await trained(), "a/report.html"),
  async (page) => {
    assert.equal(await page.title(), "a – denoise training report");
    assert.ok((await page.locator("#data").textContent())!.includes(HOSTILE));
    const [again, draw] = await page.locator(".command code").allTextContents();
    assert.match(again, /^deno task train --data \S+images --config \S+config\.json .*--batch 4 --warmup 2/);
    assert.match(draw, /^deno task sample --model a --class /);
    const facts = (await page.locator("#origin .facts").textContent())!;
    assert.match(facts, /Adapter[^]*Driver[^]*denoise \d+\.\d+\.\d+, Deno \d+\.\d+/);
    const changed = await page.locator("#settings table").first().locator("tbody th").allTextContents();
    assert.ok(changed.includes("batch") && !changed.includes("seed"), changed.join(", "));
  },
);

reportTest(
  "a comparison overlays curves, lists the settings that differ, and shows samples side by side",
  {},
  async () => join(await trained(), "comparison.html"),
  async (page) => {
    assert.equal(await page.locator("h1").textContent(), "Comparison of 2 runs");
    assert.deepEqual(
      await page.locator('[data-chart="validation-loss"] .legend .name')
        .allTextContents(),
      ["a", "b"],
    );
    assert.deepEqual(await page.locator("#settings tbody th").allTextContents(), ["epochs", "lr"]);
    assert.deepEqual(await page.locator("#settings tbody tr:last-child td").last().textContent(), "0.01");
    const epochs = page.locator("#samples .epoch");
    assert.deepEqual(await epochs.allTextContents(), ["epoch 4", "epoch 3"]);
    await page.getByLabel("Epoch of the samples").fill("1");
    assert.deepEqual(await epochs.allTextContents(), ["epoch 2", "epoch 2"]);
  },
);

Deno.test("a directory that is no run is an error that says what was expected, and nothing is written", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.mkdir(join(directory, "empty"));
    await Deno.writeTextFile(join(directory, "file"), "");
    for (
      const [name, message] of [
        [
          "empty",
          /^error: empty: expected the directory of a run.*metrics\.jsonl or checkpoints\/, which are not in it$/m,
        ],
        ["file", /^error: .*file.*not a (file|directory)/m],
        ["missing", /^error: missing: does not exist; expected the directory of a run/m],
      ] as const
    ) {
      const { code, err } = await runTask("report", [name, "--out", "out.html"], directory);
      assert.match(err, message);
      assert.equal(code, 1);
    }
    const twice = await runTask("report", ["empty", "./empty/"], directory);
    assert.deepEqual([twice.code, twice.err], [
      2,
      'error: runs: expected each directory once, got "./empty/"\n',
    ]);
    const { code, err } = await runTask("report", [], directory);
    assert.match(err, /missing required argument 'runs'/);
    assert.equal(code, 2);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), ["empty", "file"]);
  });
});

Deno.test("a run of an earlier version has a report of what it recorded", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.mkdir(join(directory, "old"));
    const lines = [{ type: "step", step: 1, loss: 1 }, {
      type: "epoch",
      epoch: 1,
      step: 2,
      trainLoss: 0.5,
      valLoss: null,
      seconds: 3,
    }];
    await Deno.writeTextFile(
      join(directory, "old/metrics.jsonl"),
      lines.map((line) => `${JSON.stringify(line)}\n`).join("") + '{"type":"st',
    );
    const { code, out } = await runTask("report", ["old"], directory);
    assert.deepEqual([code, out], [0, "report: old/report.html\n"]);
    const html = await Deno.readTextFile(join(directory, "old/report.html"));
    assert.match(html, /A network trained for 2 steps\./);
    assert.match(html, /<th scope="row">1<\/th><td>2<\/td><td>0\.50000<\/td>/);
  });
});
