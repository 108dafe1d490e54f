/** The choice of a model on the page, in a browser. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { done, fill, press, visitTest } from "../../support/server/browser.ts";

const SMALL = {
  name: "small",
  model: {
    id: "small",
    classes: ["ox", "ass", ...Array.from({ length: 8 }, (_, i) => `beast ${i}`)],
    height: 16,
    width: 16,
    digest: "5".repeat(64),
  },
};

visitTest(
  "with several models one is chosen, and classes and sizes follow",
  { others: [SMALL] },
  async (visit) => {
    const { page, engines, address, screenshot } = visit;
    const [first, small] = engines;
    const model = page.getByLabel("Model", { exact: true });
    await page.getByRole("radio", { name: "cat", exact: true }).waitFor();
    assert.deepEqual(await model.locator("option").allInnerTexts(), ["fake-model", "small"]);
    await fill(page, { Pictures: 2, Steps: 7, Seed: 3 });
    await model.selectOption("small");
    await page.getByRole("radio", { name: "ox", exact: true }).waitFor();
    assert.equal(await page.getByRole("radio", { name: "cat", exact: true }).count(), 0);
    assert.match(await page.locator("#facts").innerText(), /^Model small:/);
    await fill(page, { Class: "ass" });
    await screenshot("models");
    await press(page, "Draw");
    await done(page, "2 pictures in");
    assert.deepEqual([first!.added.length, small!.added.map(({ label, steps }) => [label, steps])], [0, [[
      1,
      7,
    ], [1, 7]]]);
    assert.match(await page.locator("#current .note").innerText(), /^Seeds 3 to 4, small, 7 steps/);

    // A picture is drawn again by its own model.
    await model.selectOption("fake-model");
    await fill(page, { Class: "cat" });
    await press(page, "Draw");
    await done(page, "2 pictures in");
    assert.equal(first!.added.length, 2);
    await page.locator("#past .tile").first().click();
    assert.match(await page.locator("#curl").innerText(), /[?&]model=small\b/);
    await press(page, "Same seed again");
    await done(page, "1 picture in");
    assert.deepEqual([await model.inputValue(), small!.added.length], ["small", 3]);

    // And a PNG that was saved chooses the model of its weights.
    await model.selectOption("fake-model");
    const png = await (await fetch(`${address}generate?model=small&class=ox&seed=9&steps=4`)).bytes();
    const choosing = page.waitForEvent("filechooser");
    await press(page, "Open a picture’s settings");
    await (await choosing).setFiles({ name: "ox.png", mimeType: "image/png", buffer: Buffer.from(png) });
    await page.locator("#reopened").getByText("Draw repeats the picture, bit by bit.").waitFor();
    assert.deepEqual([await model.inputValue(), await page.getByLabel("Seed").inputValue()], ["small", "9"]);
  },
);

visitTest("with one model there is nothing to choose", {}, async ({ page }) => {
  await page.getByRole("radio", { name: "cat", exact: true }).waitFor();
  assert.equal(await page.getByLabel("Model", { exact: true }).isVisible(), false);
});
