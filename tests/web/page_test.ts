/** The page of examples/browser, as `deno task bundle:web` makes it, on a static host. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { type Outcome, runTask } from "../support/command.ts";
import { browserTest, type PageOptions, until, withPage } from "../support/server/browser.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { assertNearlyEqual } from "../support/web/compare.ts";
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
  const { code, out, err } = await runTask("bundle_web", ["--model", MODEL, "--out", "site"], directory);
  assert.deepEqual([code, err], [0, ""], out);
  assert.match(out, /^models\/cifar10-tiny: 0\.75 million parameters, 1\.6 MB$/m);
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
      await page.getByLabel("Class").selectOption("ship");
      for (const [label, value] of [["Pictures", "2"], ["Steps", "4"], ["Guidance", "1"], ["Seed", "7"]]) {
        await page.getByLabel(label, { exact: true }).fill(value);
      }
      await page.getByRole("button", { name: "Draw" }).click();
      await page.getByText("On google swiftshader, the browser’s software in place of a GPU").waitFor();
      await page.getByText("Step 1 of 4").waitFor();
      const early = await pixelsOf(page, "#pictures");
      await page.getByRole("button", { name: "Pause" }).click();
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
      await page.getByText("Step 1 of 50").waitFor();
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
