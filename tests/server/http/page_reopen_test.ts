/** Drawn pictures brought back to the page, in a browser. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { encodePng } from "../../../lib/image/png.ts";
import { runTask } from "../../support/command.ts";
import { decodePng } from "../../support/read_png.ts";
import { browserTest, done, fill, press, visitTest, withPage } from "../../support/server/browser.ts";
import { MODEL, withServer } from "../../support/server/process.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

/** Chooses a file by the button. */
async function choose(page: Page, name: string, bytes: Uint8Array): Promise<void> {
  const choosing = page.waitForEvent("filechooser");
  await press(page, "Open a picture’s settings");
  await (await choosing).setFiles({ name, mimeType: "image/png", buffer: Buffer.from(bytes) });
}

/** Drops a file on an element. */
async function drop(page: Page, selector: string, name: string, bytes: Uint8Array): Promise<void> {
  await page.evaluate(`(() => {
    const bytes = Uint8Array.from(atob("${bytes.toBase64()}"), (c) => c.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], "${name}", { type: "image/png" }));
    document.querySelector("${selector}").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  })()`);
}

const said = (page: Page) => page.locator("#reopened");
const source = (page: Page) => page.locator("#current .tile img").getAttribute("src");

visitTest(
  "a saved picture fills in the form of another visit, and Draw repeats its bytes",
  {},
  async (visit) => {
    const { page, address, screenshot } = visit;
    const query =
      "class=dog&seed=41&steps=7&sampler=ddim&eta=0.5&spacing=linspace&guidance=3&negative_class=cat&" +
      "guidance_rescale=0.25&guidance_interval=0.2,2";
    const png = await (await fetch(`${address}generate?${query}`)).bytes();
    await page.getByRole("radio", { name: "cat" }).waitFor();
    await choose(page, "dog-41.png", png);
    await said(page).getByText(
      "The settings of dog-41.png are filled in. Draw repeats the picture, bit by bit.",
    ).waitFor();
    assert.equal(await page.locator("#reopened-notes li").count(), 0);
    const values = await page.evaluate<string[]>(
      `["count", "steps", "sampler", "seed", "guidance", "negative", "rescale", "interval", "spacing", "eta"]
      .map((id) => document.getElementById(id).value)`,
    );
    assert.deepEqual(values, ["1", "7", "ddim", "41", "3", "cat", "0.25", "0.2,2", "linspace", "0.5"]);
    assert.equal(await page.getByRole("radio", { name: "dog" }).isChecked(), true);
    await screenshot("reopened");
    await press(page, "Draw");
    await done(page, "1 picture in");
    assert.deepEqual(Uint8Array.fromBase64((await source(page))!.split(",")[1]), png);

    await fill(page, { Seed: 42 });
    assert.equal(
      await page.locator("#reopened-text").innerText(),
      "The settings of dog-41.png are filled in.",
    );

    // What is drawn from the form of before has none of it.
    await page.getByLabel("Sampler").selectOption("unipc");
    await fill(page, { Steps: 5 });
    await press(page, "Draw");
    await done(page, "1 picture in");
    assert.match(await page.locator("#current .note").innerText(), /5 steps, unipc, guidance 3/);
    assert.doesNotMatch(await page.locator("#current .note").innerText(), /spacing|eta/);
  },
);

visitTest("a picture that is dropped brings its settings, or is the one to start from", {}, async (visit) => {
  const { page, address } = visit;
  await page.getByRole("radio", { name: "cat" }).waitFor();
  const png = await (await fetch(`${address}generate?class=horse&seed=5&steps=6&count=3&scale=2`)).bytes();
  await drop(page, "body", "grid.png", png);
  await said(page).getByText("The settings of grid.png are filled in.").waitFor();
  assert.deepEqual(await page.locator("#reopened-notes li").allInnerTexts(), [
    "It is a grid of 3 pictures. The page draws them one by one.",
  ]);
  assert.deepEqual([await page.locator("#count").inputValue(), await page.locator("#seed").inputValue()], [
    "3",
    "5",
  ]);
  assert.equal(await page.locator("#edit-work").isVisible(), false);
  await press(page, "Start from this picture instead");
  await page.locator("#edit-work").waitFor();
  assert.equal(await said(page).isVisible(), false);

  const other = await (await fetch(`${address}generate?class=cat&seed=6&steps=6`)).bytes();
  await drop(page, "#edit", "cat.png", other); // on the picture to start from
  await page.getByText("Your picture is loaded").waitFor({ state: "attached" });
  assert.equal(await said(page).isVisible(), false);
  await drop(page, "body", "cat.png", other); // elsewhere: its settings, and no picture to start from
  await said(page).getByText("The settings of cat.png are filled in. Draw repeats the picture, bit by bit.")
    .waitFor();
  assert.equal(await page.locator("#edit-on").isVisible(), false);
  const foreign = await encodePng(new Uint8Array(20 * 20 * 3).fill(90), 20, 20);
  await drop(page, "body", "foreign.png", foreign);
  await page.locator("#edit-on").waitFor();
  assert.equal(await said(page).isVisible(), false);
});

visitTest(
  "what cannot be repeated is said, and so is a file that has no settings or is damaged",
  {},
  async (visit) => {
    const { page, engine, address, screenshot } = visit;
    await page.getByRole("radio", { name: "cat" }).waitFor();
    const notes = page.locator("#reopened-notes li");
    const drawn = async (changes: Record<string, string>) =>
      await encodePng(new Uint8Array(32 * 32 * 3), 32, 32, {
        ...{
          model: "other",
          class: "unicorn",
          seed: "3",
          sampler: "unipc",
          steps: "20000",
          spacing: "karras",
        },
        ...changes,
      });
    await choose(page, "unicorn-3.png", await drawn({}));
    await said(page).getByText("The settings of unicorn-3.png are filled in.").waitFor();
    assert.deepEqual(await notes.allInnerTexts(), [
      "It was drawn by the model other; this server has fake-model-step-100. The picture will be another one.",
      "The class “unicorn” is not one of this model’s; choose another.",
      "The number of steps 20000 is not possible here; 1000 is filled in.",
    ]);
    assert.equal(await page.getByRole("radio", { name: "airplane" }).isChecked(), true);
    await screenshot("reopened-notes");
    await choose(page, "plain.png", await encodePng(new Uint8Array(3), 1, 1));
    await said(page).getByText("This PNG has no settings of a drawing.").waitFor();
    await choose(page, "cut.png", (await drawn({})).slice(0, 70));
    await said(page).getByText("This PNG is damaged: it ends too early.").waitFor();
    await choose(page, "photo.png", new TextEncoder().encode("GIF89a…"));
    await said(page).getByText("This file is not a PNG.").waitFor();
    assert.equal(await notes.count(), 0);

    await choose(page, "edit.png", await drawn({ strength: "0.3", steps: "10", class: "cat" }));
    await said(page).getByText("It was drawn from another picture, which is not in the file").waitFor();
    await drop(page, "#edit", "a.png", await (await fetch(`${address}generate?seed=1`)).bytes());
    await page.locator("#edit-work").waitFor();
    assert.equal(await page.locator("#strength").inputValue(), "0.3");
    await press(page, "Draw");
    await done(page, "1 picture in");
    assert.equal(engine.added.at(-1)?.edit?.strength, 0.3);
  },
);

browserTest(
  "a picture of deno task sample is drawn again by a real server, with the same pixels",
  async () => {
    await inTemporaryDirectory(async (directory) => {
      const args = ["--model", MODEL, "--class", "1", "--count", "1", "--seed", "11", "--steps", "6"];
      const flags = ["--sampler", "ddim", "--eta", "0.5", "--scale", "1", "--out", "one.png"];
      const { code, err } = await runTask("sample", [...args, ...flags], directory);
      assert.equal(code, 0, err);
      const png = await Deno.readFile(join(directory, "one.png"));
      await withServer({}, async ({ url }) => {
        await withPage(`${url}/`, {}, async (page) => {
          await page.getByRole("radio", { name: "1", exact: true }).waitFor();
          await choose(page, "one.png", png);
          await page.getByText("Draw repeats the picture, bit by bit.").waitFor();
          await press(page, "Draw");
          await done(page, "1 picture in");
          const drawn = Uint8Array.fromBase64((await source(page))!.split(",")[1]);
          assert.deepEqual(decodePng(drawn), decodePng(png));
        });
      });
    });
  },
);
