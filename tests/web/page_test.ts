/** The page of examples/browser, as `deno task bundle:web` makes it, on a static host. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { type Outcome, runTask } from "../support/command.ts";
import { browserTest, type PageOptions, until, withPage } from "../support/server/browser.ts";
import { makePng } from "../support/synthetic.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { assertNearlyEqual } from "../support/web/compare.ts";
import { smallNetwork } from "../support/web/small_network.ts";
import { foldersOf, withSite } from "../support/web/static_site.ts";

const MODEL = fileURLToPath(new URL("../../checkpoints/cifar10-tiny", import.meta.url));

/** Opens the page with the smaller model; one that was made before is used again. */
async function withExample(options: PageOptions, body: (page: Page) => Promise<void>): Promise<void> {
  built ??= build();
  const folder = await built;
  await withSite(foldersOf({ "": folder }), (address) => withPage(address, options, body));
}

let built: Promise<string> | undefined;
const temporary: string[] = [];
Deno.test.afterAll(async () => {
  for (const folder of temporary) await Deno.remove(folder, { recursive: true });
});

async function build(): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "denoise-test-" });
  temporary.push(directory);
  for (const [name, grey] of [["dark", 60], ["light", 200]] as const) {
    await Deno.mkdir(join(directory, "pictures", name), { recursive: true });
    for (let i = 0; i < 22; i++) {
      const png = await makePng(32, 32, (x, y) => [grey, (grey + x * i) % 256, (grey + y) % 256]);
      await Deno.writeFile(join(directory, "pictures", name, `${i}.png`), png);
    }
  }
  const images = ["--images", "32", "--data", "pictures"];
  const args = ["--model", MODEL, ...images, "--out", "site"];
  const { code, out, err } = await runTask("bundle_web", args, directory);
  assert.deepEqual([code, err], [0, ""], out);
  assert.match(out, /^models\/cifar10-tiny: 0\.75 million parameters, 1\.6 MB$/m);
  assert.match(out, /^images: 32 of pictures, 98 kB$/m);
  return join(directory, "site");
}

const screenshot = async (page: Page, name: string) => {
  const folder = Deno.env.get("DENOISE_SCREENSHOTS");
  if (folder) await page.screenshot({ path: join(folder, `browser-${name}.png`), fullPage: true });
};

/** Bytes of the pictures that the page shows, RGB. */
async function pixelsOf(page: Page, where: string): Promise<number[]> {
  return await page.evaluate(`[...document.querySelectorAll("${where} canvas")].flatMap((canvas) =>
    [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.filter((_, i) => i % 4 < 3)])`);
}

const GPU: PageOptions = { webGpu: true, timeout: 90_000 };

browserTest(
  "the page draws the pictures of Deno, out of the noise, and can be paused, stopped and gone back",
  async () => {
    await withExample(GPU, async (page) => {
      await page.getByLabel("Class", { exact: true }).selectOption("ship");
      for (const [label, value] of [["Pictures", "2"], ["Steps", "4"], ["Guidance", "1"], ["Seed", "7"]]) {
        await page.getByLabel(label, { exact: true }).fill(value);
      }
      await page.getByRole("button", { name: "Draw" }).click();
      // While the model is still being loaded: the page then waits after the first step.
      await page.getByRole("button", { name: "Pause" }).click();
      await page.getByText("On google swiftshader, the browser’s software in place of a GPU").waitFor();
      await page.getByText("Step 1 of 4").waitFor();
      const early = await pixelsOf(page, "#pictures");
      await page.getByRole("button", { name: "Continue" }).click();
      await page.locator("#announce", { hasText: /^2 pictures in \d/ }).waitFor();
      await screenshot(page, "desktop-light");

      const model = await DDPM.load(MODEL);
      const images = await model.generate({ class: "ship", count: 2, steps: 4, guidance: 1, seed: 7 });
      await model.close();
      const finished = await pixelsOf(page, "#pictures");
      assertNearlyEqual(finished, images.pixels);
      assert.notDeepEqual(early, finished);
      assert.deepEqual(
        await page.locator("#pictures canvas").evaluateAll((all) =>
          all.map((canvas) => canvas.getAttribute("aria-label"))
        ),
        ["ship, seed 7", "ship, seed 8"],
      );

      const way = page.getByLabel("On the way");
      await way.focus();
      await way.press("Home");
      assert.equal(await way.getAttribute("aria-valuetext"), "after step 1 of 4");
      assert.deepEqual(await pixelsOf(page, "#pictures"), early);
      const saving = page.waitForEvent("download");
      await page.getByRole("link", { name: "Save ship, seed 8" }).click();
      assert.equal((await saving).suggestedFilename(), "ship-8.png");

      await page.getByLabel("Steps", { exact: true }).fill("50");
      await page.getByRole("button", { name: "Draw" }).focus();
      await page.keyboard.press("Enter");
      await page.getByText(/^Step \d+ of 50$/).waitFor();
      await page.getByRole("button", { name: "Stop" }).focus();
      await page.keyboard.press("Enter");
      await page.locator("#announce", { hasText: /^Stopped after step \d+ of 50$/ }).waitFor();
      await until(
        "the focus is not lost",
        async () => await page.evaluate("document.activeElement.id") === "draw-start",
      );
    });
  },
);

/** Opens the page with a small network and three steps in place of `tiny`, for which SwiftShader takes minutes. */
async function withSmallNetwork(page: Page): Promise<void> {
  await page.route("**/train.js", async (route) => {
    const response = await route.fetch();
    const text = (await response.text()).replace(
      `preset: "tiny"`,
      `steps: 3, sampleSteps: 1, model: ${JSON.stringify(smallNetwork(2))}`,
    );
    await route.fulfill({ response, body: text });
  });
  await page.reload();
}

browserTest(
  "the page trains on packed images, shows a curve and samples, and offers the model",
  async () => {
    const phone = { browser: { viewport: { width: 360, height: 780 }, colorScheme: "dark" } } as const;
    await withExample({ ...GPU, timeout: 300_000, ...phone }, async (page) => {
      await withSmallNetwork(page);
      await page.getByText("32 of pictures").waitFor({ state: "attached" });
      await page.getByLabel("Epochs").fill("1");
      await page.getByLabel("Batch").fill("8");
      await page.getByRole("button", { name: "Train" }).click();
      await page.locator("#announce", { hasText: /^Done after 3 steps, \d+ s\./ }).waitFor();
      assert.match(
        await page.getByRole("img", { name: /^Loss by step/ }).getAttribute("aria-labelledby") ?? "",
        /^curve-title$/,
      );
      assert.match(
        await page.locator("#curve-title").textContent() ?? "",
        /^Loss by step: \d\.\d{3} at step 3 of 3; on pictures held back \d\.\d{3}$/,
      );
      const points = await page.locator("#curve-train").getAttribute("points") ?? "";
      assert.equal(points.split(" ").length, 3);
      assert.equal(await page.locator("#samples canvas").count(), 8);
      assert.equal(await page.getByLabel("Model").inputValue(), "yours");
      assert.equal(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), true);
      await screenshot(page, "phone-dark");
    });
  },
);

browserTest(
  "the page trains on a folder of one's own, and goes on with a new device when the first is lost",
  async () => {
    const folder = join(dirname(await (built ??= build())), "pictures");
    await Deno.writeTextFile(join(folder, "light", "broken.png"), "no picture");
    await Deno.writeTextFile(join(folder, "light", "notes.txt"), "no picture either");
    const dark = { browser: { colorScheme: "dark" }, expected: /device|GPU|WebGPU/i } as const;
    await withExample({ ...GPU, ...dark }, async (page) => {
      await withSmallNetwork(page);
      await page.getByLabel("Learn from", { exact: true }).selectOption("own");
      await page.getByLabel(/^Folder with pictures/).setInputFiles(folder);
      await page.getByLabel("Epochs").fill("1");
      await page.getByLabel("Batch").fill("8");
      await page.getByRole("button", { name: "Train" }).click();
      await page.getByText(/^Step \d of 3/).waitFor();
      const session = await page.context().browser()!.newBrowserCDPSession();
      await session.send("Browser.crashGpuProcess");
      await page.getByRole("alert").getByText(/Press the button again to start on a new device/).waitFor();
      await screenshot(page, "lost-dark");
      await page.getByRole("button", { name: "Train" }).click();
      await page.locator("#announce", { hasText: /^Done after 3 steps, \d+ s\./ }).waitFor();
      assert.equal(await page.getByLabel("Model").inputValue(), "yours");
      assert.deepEqual(
        await page.locator("#samples canvas").evaluateAll((all) =>
          all.map((canvas) => canvas.getAttribute("aria-label"))
        ),
        ["dark", "dark", "dark", "dark", "light", "light", "light", "light"],
      );
      assert.equal(await page.getByRole("alert").isVisible(), false);
      await screenshot(page, "own-dark");
    });
  },
);

browserTest("without WebGPU, or an adapter for it, the page says so and stays usable", async () => {
  await withExample({}, async (page) => {
    const trouble = page.getByRole("alert");
    if (await page.evaluate("!navigator.gpu")) {
      await trouble.getByText("This browser offers no WebGPU to this page.").waitFor();
      return;
    }
    await page.getByRole("button", { name: "Draw" }).click();
    await trouble.getByText("No WebGPU adapter was found. The browser has WebGPU, but no adapter for it")
      .waitFor();
    assert.equal(await page.locator("#draw-start").getAttribute("aria-disabled"), "false");
    await screenshot(page, "trouble");
  });
});

browserTest("a model that cannot be fetched is named", async () => {
  await withExample({ ...GPU, expected: /Failed to load resource/ }, async (page) => {
    await page.route("**/unet/config.json", (route) => route.fulfill({ status: 404 }));
    await page.getByRole("button", { name: "Draw" }).click();
    await page.getByRole("alert").getByText(/models\/cifar10-tiny\/unet\/config\.json is missing\.$/)
      .waitFor();
  });
});

Deno.test("a folder with something else in it is not replaced, and models have names of their own", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.mkdir(join(directory, "mine"));
    await Deno.writeTextFile(join(directory, "mine", "thesis.txt"), "");
    const inMine: Outcome = await runTask("bundle_web", ["--out", "mine"], directory);
    assert.equal(inMine.code, 2);
    assert.match(
      inMine.err,
      /^error: --out: expected a new folder, or one with an earlier site \(found thesis\.txt\), got "mine"/,
    );
    const twice = await runTask("bundle_web", ["--model", MODEL, "--model", `${MODEL}/`], directory);
    assert.match(twice.err, /expected directories of different names, got cifar10-tiny twice/);
  });
});
