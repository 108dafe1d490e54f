import assert from "node:assert/strict";
import { done, fill, press, visitTest } from "../../support/server/browser.ts";

/** The element with the focus, with a visible ring or not, in sight or not. */
const FOCUSED = `(() => {
  const focused = document.activeElement;
  const shown = focused.type === "radio" ? focused.nextElementSibling : focused;
  const { outlineStyle, outlineWidth } = getComputedStyle(shown);
  const { width, height, top, bottom } = shown.getBoundingClientRect();
  return {
    what: focused.id || focused.value || focused.className,
    ring: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
    seen: width > 20 && height > 10 && top >= 0 && bottom <= innerHeight,
  };
})()`;

visitTest("the keyboard alone is enough, and always shows where it is", {}, async ({ page }) => {
  await page.getByRole("radio", { name: "airplane" }).waitFor();
  const focused = () => page.evaluate<{ what: string; ring: boolean; seen: boolean }>(FOCUSED);
  const tab = async (expected: string) => {
    await page.keyboard.press("Tab");
    const { what, ring, seen } = await focused();
    assert.deepEqual({ what, ring, seen }, { what: expected, ring: true, seen: true });
  };
  await tab("skip");
  await tab("airplane");
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowRight");
  assert.equal((await focused()).what, "cat");
  const typed = { count: "2", steps: "12", sampler: "", guidance: "3", seed: "9" };
  for (const [field, value] of Object.entries(typed)) {
    await tab(field);
    await page.keyboard.type(value);
  }
  await tab("more-summary");
  await tab("sampling-summary");
  await tab("edit-summary");
  await tab("draw");
  await page.keyboard.press("Enter");
  await done(page, "2 pictures in");
  assert.equal((await focused()).what, "draw");
  await tab("draw-rows");
  await tab("reopen");
  await tab("tile");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "cat" }).waitFor();
  assert.equal(await page.evaluate("document.activeElement.closest('dialog')?.id"), "details");
  assert.match(
    await page.locator("#curl").innerText(),
    /class=cat&count=1&steps=12&sampler=unipc&seed=9&guidance=3/,
  );
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.equal((await focused()).what, "tile");
});

for (const ratio of [1, 1.5]) {
  const browser = { viewport: { width: 320, height: 640 }, deviceScaleFactor: ratio };
  visitTest(
    `the page fits a phone of ${ratio} pixels a pixel, its pictures whole ones`,
    { browser },
    async ({ page, screenshot }) => {
      const fits = async (what: string) => {
        const width = await page.evaluate<number>("document.documentElement.scrollWidth");
        assert.ok(width <= 320, `${what}: ${width} pixels wide`);
        const shown = await page.evaluate<[number, string][]>(`[...document.querySelectorAll("img")]
        .map((image) => [image.getBoundingClientRect().width, getComputedStyle(image).imageRendering])
        .filter(([width]) => width > 0)`);
        assert.ok(shown.length > 0);
        for (const [side, rendering] of shown) {
          const scale = (side * ratio) / 32;
          assert.ok(scale > 0.99 && Math.abs(scale - Math.round(scale)) < 0.01, `${what}: scale ${scale}`);
          assert.equal(rendering, "pixelated");
        }
      };
      for (
        const [button, count, all] of [
          ["Draw", 1, "1 picture in"],
          ["Draw", 64, "64 pictures in"],
          ["A row per class", 4, "40 pictures in"],
          ["A row per class", 8, "80 pictures in"],
        ] as const
      ) {
        await fill(page, { Pictures: count, Steps: 3 });
        await press(page, button);
        await done(page, all);
        await fits(all);
      }
      await screenshot(`phone-${ratio}`);
      await page.locator("#current .tile").first().click();
      await fits("the dialog");
      const cut =
        "(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(document.querySelector('#details'))";
      assert.equal(await page.evaluate(cut), false);
      await screenshot(`phone-dialog-${ratio}`);
    },
  );
}

for (const colorScheme of ["light", "dark"] as const) {
  const browser = { colorScheme, reducedMotion: "reduce" } as const;
  visitTest(`the page can be read in ${colorScheme}`, { browser }, async ({ page, screenshot }) => {
    const color = (name: string) =>
      page.evaluate<string>(`getComputedStyle(document.documentElement).getPropertyValue("--${name}")`);
    const contrast = async (one: string, other: string) => {
      const [darker, lighter] = [luminance(await color(one)), luminance(await color(other))].sort((a, b) =>
        a - b
      );
      return (lighter + 0.05) / (darker + 0.05);
    };
    assert.equal(luminance(await color("paper")) > 0.5, colorScheme === "light");
    // WCAG 2.2: 4.5 for text, 3 for what bounds a field
    for (const text of ["ink", "soft", "accent", "warn"]) {
      assert.ok(await contrast(text, "paper") >= 4.5, text);
    }
    for (const text of ["ink", "soft"]) assert.ok(await contrast(text, "sheet") >= 4.5, text);
    assert.ok(await contrast("on-accent", "accent") >= 4.5);
    assert.ok(await contrast("edge", "paper") >= 3);
    await page.getByRole("radio", { name: "cat" }).waitFor();
    await screenshot(`start-${colorScheme}`);
    await fill(page, { Class: "cat", Pictures: 4 });
    await press(page, "Draw");
    await done(page, "4 pictures in");
    await page.locator("#current .tile").first().click();
    await screenshot(`details-${colorScheme}`);
    const motion =
      "getComputedStyle(document.querySelector('progress'), '::-webkit-progress-value').transitionDuration";
    assert.equal(await page.evaluate(motion), "0s");
  });
}

/** Relative luminance of a colour such as `#fbfaf6` (WCAG 2.2). */
function luminance(hex: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const value = parseInt(hex.trim().slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
