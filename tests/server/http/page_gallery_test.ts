/** The gallery of the page: what a browser has drawn, kept in it. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import type { Page } from "playwright-core";
import { leaving } from "../../../server/page/gallery_store.js";
import { done, fill, press, until, visitTest } from "../../support/server/browser.ts";

const tiles = (page: Page) => page.locator("#gallery-tiles .tile");
const names = (page: Page) =>
  page.evaluate<string[]>("[...document.querySelectorAll('#gallery-tiles img')].map(({ alt }) => alt)");

/** Waits until the gallery has so many pictures. */
async function has(page: Page, count: number): Promise<void> {
  await page.getByText(`${count} ${count === 1 ? "picture" : "pictures"}, in this browser only.`).waitFor();
}

async function draw(
  page: Page,
  values: Readonly<Record<string, string | number>>,
  count: number,
): Promise<void> {
  await fill(page, { Pictures: count, Steps: 3, ...values });
  await press(page, "Draw");
  await done(page, `${count} ${count === 1 ? "picture" : "pictures"} in`);
}

const FOCUSED = "document.activeElement.id || document.activeElement.querySelector('img').alt";

visitTest("what was drawn is there on the next visit, with its settings, and can be drawn again", {
  browser: { viewport: { width: 1000, height: 800 } },
}, async ({ page, engine, screenshot }) => {
  await page.getByRole("radio", { name: "cat" }).waitFor();
  assert.equal(await page.locator("#gallery").isVisible(), false);
  await draw(page, { Class: "cat", Seed: 5, Guidance: 3 }, 3);
  await has(page, 3);
  const source = await page.locator("#current img").nth(1).getAttribute("src");

  await page.reload();
  await page.getByRole("radio", { name: "cat" }).waitFor();
  await has(page, 3);
  assert.deepEqual(await names(page), ["cat, seed 5", "cat, seed 6", "cat, seed 7"]);
  await tiles(page).nth(1).click();
  const dialog = page.getByRole("dialog", { name: "cat" });
  const facts = "Seed 6 Steps 3 Sampler unipc Guidance 3 Model fake-model-step-100";
  assert.equal((await dialog.locator("dl").innerText()).replace(/\s+/g, " "), facts);
  assert.equal(await dialog.locator("img").getAttribute("src"), source);
  const saving = page.waitForEvent("download");
  await dialog.getByRole("link", { name: "Save the picture" }).click();
  assert.equal((await saving).suggestedFilename(), "cat-6.png");
  await screenshot("gallery-details");

  await fill(page, {}); // the form is that of a new visit
  await dialog.getByRole("button", { name: "Use its settings" }).click();
  await page.getByText("The settings of cat-6.png are filled in. Draw repeats the picture, bit by bit.")
    .waitFor();
  assert.equal(await page.evaluate("document.activeElement.id"), "draw");
  await page.keyboard.press("Enter");
  await done(page, "1 picture in");
  assert.equal(await page.locator("#current img").getAttribute("src"), source);
  assert.deepEqual(engine.added.map(({ seed }) => seed).sort(), [5, 6, 6, 7]);
  await screenshot("gallery");
});

visitTest("a picture that is drawn again has one place in the gallery, the newest", {}, async ({ page }) => {
  await page.getByRole("radio", { name: "cat" }).waitFor();
  await draw(page, { Class: "cat", Seed: 5 }, 2);
  await has(page, 2);
  await tiles(page).nth(1).click();
  await press(page, "Same seed again");
  await done(page, "1 picture in");
  await until("the old one has moved", async () => (await names(page))[0] === "cat, seed 6");
  assert.deepEqual(await names(page), ["cat, seed 6", "cat, seed 5"]);
  await draw(page, { Class: "cat", Seed: 5, Steps: 4 }, 1);
  await has(page, 3);
});

visitTest(
  "pictures are deleted one by one or all at once, by the keyboard, too",
  {},
  async ({ page, screenshot }) => {
    await page.getByRole("radio", { name: "cat" }).waitFor();
    await draw(page, { Class: "dog", Seed: 1 }, 4);
    await has(page, 4);
    await tiles(page).nth(1).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Delete from the gallery" }).focus();
    await page.keyboard.press("Enter");
    await has(page, 3);
    assert.deepEqual(await names(page), ["dog, seed 1", "dog, seed 3", "dog, seed 4"]);
    assert.equal(await page.evaluate(FOCUSED), "dog, seed 3");
    assert.equal(await page.locator("#announce").innerText(), "Deleted");

    await page.locator("#current .tile").first().click(); // one of this visit is not one of the gallery
    assert.equal(await page.getByRole("button", { name: "Delete from the gallery" }).isVisible(), false);
    await page.keyboard.press("Escape");

    await press(page, "Delete all");
    const asked = page.getByRole("dialog", { name: "Delete all 3 pictures of the gallery?" });
    await screenshot("gallery-delete");
    await asked.getByRole("button", { name: "Cancel" }).click();
    await has(page, 3);
    await page.locator("#gallery-clear").focus();
    await page.keyboard.press("Enter");
    await page.keyboard.press("Escape");
    await has(page, 3);
    await page.keyboard.press("Enter");
    await asked.getByRole("button", { name: "Delete all" }).press("Enter");
    await page.locator("#gallery").waitFor({ state: "hidden" });
    assert.equal(await page.evaluate(FOCUSED), "pictures");
    await page.reload();
    await page.getByRole("radio", { name: "cat" }).waitFor();
    assert.equal(await page.locator("#gallery").isVisible(), false);
  },
);

visitTest(
  "many pictures are shown in parts, and another tab sees what changes",
  {},
  async ({ page, address }) => {
    await page.getByRole("radio", { name: "cat" }).waitFor();
    await draw(page, { Class: "cat", Seed: 1 }, 60);
    await has(page, 60);
    assert.equal(await tiles(page).count(), 48);
    const other = await page.context().newPage();
    await other.goto(address);
    await has(other, 60);
    await press(page, "Show 12 more");
    assert.equal(await tiles(page).count(), 60);
    assert.equal(await page.evaluate(FOCUSED), "cat, seed 49");
    await tiles(page).first().click();
    await press(page, "Delete from the gallery");
    await has(other, 59);
    await other.close();
  },
);

visitTest(
  "a picture of another model says so, and is not drawn again as if it were of this one",
  {},
  async ({ page }) => {
    await page.getByRole("radio", { name: "cat" }).waitFor();
    await draw(page, { Class: "cat", Seed: 1 }, 1);
    await has(page, 1);
    await page.evaluate(`(async () => {
    const { GalleryStore } = await import("./page/gallery_store.js");
    const store = await GalleryStore.open("denoise gallery /");
    const [picture] = await store.list();
    await store.clear();
    const { id, ...rest } = picture;
    await store.add({ ...rest, model: "before", digest: "ff" });
  })()`);
    await page.reload();
    await page.getByRole("radio", { name: "cat" }).waitFor();
    await tiles(page).first().click();
    const dialog = page.getByRole("dialog", { name: "cat" });
    assert.match(await dialog.locator("dl").innerText(), /Model\s+before/);
    for (const name of ["Same seed again", "This seed in every class"]) {
      assert.equal(await dialog.getByRole("button", { name }).isVisible(), false);
    }
    assert.equal(await dialog.locator("#terminal").isVisible(), false);
  },
);

visitTest(
  "an edit is kept with the picture that it was drawn from",
  {},
  async ({ page, engine, address }) => {
    await page.getByRole("radio", { name: "cat" }).waitFor();
    const png = await (await fetch(`${address}generate?seed=1`)).bytes();
    await page.locator("#edit-summary").click();
    await page.getByLabel("Picture", { exact: true }).setInputFiles({
      name: "a.png",
      mimeType: "image/png",
      buffer: Buffer.from(png),
    });
    await page.locator("#edit-work").waitFor();
    await draw(page, { Class: "cat", Seed: 9 }, 1);
    await has(page, 1);
    const before = engine.added.at(-1)!;
    await page.reload();
    await has(page, 1);
    await page.getByRole("radio", { name: "cat" }).waitFor();
    await tiles(page).first().click();
    await press(page, "Use its settings");
    await page.getByText("Draw repeats the picture, bit by bit.").waitFor();
    await page.locator("#edit-work").waitFor({ state: "attached" });
    await press(page, "Draw");
    await done(page, "1 picture in");
    assert.deepEqual({ ...engine.added.at(-1)!, id: 0 }, { ...before, id: 0 });
  },
);

for (
  const [what, script, said] of [
    [
      "no storage",
      "indexedDB.open = () => { throw new DOMException('denied', 'SecurityError'); }",
      "This browser stores nothing for this page, as in a private window: what you draw is not kept.",
    ],
    [
      "full storage",
      "IDBObjectStore.prototype.add = () => { throw new DOMException('full', 'QuotaExceededError'); }",
      "The browser’s storage is full or closed: new pictures are not kept. Delete some to make room.",
    ],
  ] as const
) {
  visitTest(`the page draws with ${what}, and says what that means for the gallery`, {}, async (visit) => {
    const { page, screenshot } = visit;
    await page.addInitScript(script);
    await page.reload();
    await page.getByRole("radio", { name: "cat" }).waitFor();
    await draw(page, { Class: "cat", Seed: 5 }, 2);
    await page.locator("#gallery-trouble").getByText(said).waitFor();
    await screenshot(`gallery-${what.replace(" ", "-")}`);
  });
}

Deno.test("the oldest pictures leave, as many as are beyond the limits of number and size", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 20 }),
    fc.integer({ min: 0, max: 10 }),
    fc.integer({ min: 0, max: 300 }),
    (sizes, count, size) => {
      const all = sizes.map((bytes, id) => ({ id, bytes }));
      const gone = new Set(leaving(all.toSorted((a, b) => a.bytes - b.bytes), { count, size }));
      const rest = all.filter(({ id }) => !gone.has(id));
      const sum = (some: typeof all) => some.reduce((sum, { bytes }) => sum + bytes, 0);
      assert.ok(rest.length <= count && sum(rest) <= size);
      const oldest = Math.min(...rest.map(({ id }) => id), all.length);
      assert.ok([...gone].every((id) => id < oldest), "the newest stay");
      const oneMore = all.filter(({ id }) => id >= oldest - 1);
      assert.ok(gone.size === 0 || oneMore.length > count || sum(oneMore) > size, "none leaves without need");
    },
  ));
});

visitTest("a browser keeps no more than the limits, the newest", {}, async ({ page }) => {
  const kept = await page.evaluate(`(async () => {
    const { GalleryStore } = await import("./page/gallery_store.js");
    const store = await GalleryStore.open("a test", { count: 3, size: 1000 });
    const picture = (seed, length) => ({
      wish: { class: "cat", seed }, source: "x".repeat(length), model: "m", digest: "d", size: { width: 1, height: 1 }, time: seed, place: 0,
    });
    const seeds = async () => (await store.list()).map(({ wish }) => wish.seed);
    const seen = [];
    for (const [seed, length] of [[1, 10], [2, 10], [3, 10], [4, 10], [5, 700], [6, 900], [7, 2000]]) {
      await store.add(picture(seed, length));
      seen.push(await seeds());
    }
    return seen;
  })()`);
  assert.deepEqual(kept, [[1], [2, 1], [3, 2, 1], [4, 3, 2], [5, 4, 3], [6], []]);
});

for (
  const [name, browser] of [
    ["phone-dark", { viewport: { width: 320, height: 640 }, colorScheme: "dark" }],
    ["desktop-dark", { colorScheme: "dark" }],
  ] as const
) {
  visitTest(`the gallery fits the page: ${name}`, { browser }, async ({ page, screenshot }) => {
    await page.getByRole("radio", { name: "cat" }).waitFor();
    await draw(page, { Class: "any class", Seed: 5 }, 20);
    await has(page, 20);
    const width = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
    assert.equal(width, 0);
    const sides = await page.evaluate<number[]>(
      "[...document.querySelectorAll('#gallery-tiles img')].map((image) => image.getBoundingClientRect().width)",
    );
    assert.ok(sides.every((side) => side > 0 && side % 32 === 0), `${sides}`);
    await screenshot(`gallery-${name}`);
  });
}
