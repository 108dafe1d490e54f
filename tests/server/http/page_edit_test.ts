import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { Buffer } from "node:buffer";
import { done, fill, press, until, visitTest } from "../../support/server/browser.ts";
import { makePng } from "../../support/synthetic.ts";
import { average, centre } from "../../../server/page/original.js";
import { Mask } from "../../../server/page/mask.js";
import { cropped, frameImage } from "../../../lib/data/decode/framing.ts";
import { decodePng } from "../../support/read_png.ts";

/** A landscape: sky, a sun and grass, wider than high. */
function landscape(x: number, y: number): number[] {
  if (Math.hypot(x - 130, y - 30) < 18) return [250, 220, 90];
  return y < 70 ? [90 + y, 150 + y, 230] : [60 + x % 7 * 4, 140 - y / 2, 50];
}

/** Drops a file on the page. */
async function drop(page: Page, bytes: Uint8Array, name = "picture.png"): Promise<void> {
  await page.evaluate(`(() => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob("${bytes.toBase64()}"), (c) => c.charCodeAt(0));
    transfer.items.add(new File([bytes], "${name}"));
    for (const type of ["dragover", "drop"]) {
      document.body.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }
  })()`);
}

const PICTURE = await makePng(200, 100, landscape);

visitTest("a dropped picture is shown as the model sees it, painted on, and drawn beside the result", {
  engine: { automatic: undefined },
}, async ({ page, engine, screenshot }) => {
  await page.getByRole("radio", { name: "cat" }).waitFor();
  await drop(page, PICTURE);
  const canvas = page.locator("#edit-canvas");
  await canvas.waitFor();
  await page.getByText("All of it is drawn anew.").waitFor();
  assert.equal(await page.getByLabel("Strength").inputValue(), "0.6");

  await page.locator("#brush").fill("6");
  await canvas.hover(); // waits for the end of scrolling
  const { x, y, width, height } = (await canvas.boundingBox())!;
  assert.deepEqual([width % 32, height], [0, width]);
  await page.mouse.move(x + width / 4, y + height / 2);
  await page.mouse.down();
  await page.mouse.move(x + width / 2, y + height / 2, { steps: 4 });
  await page.mouse.up();
  await page.getByText("The chequered part is drawn anew").waitFor();
  assert.equal(await page.getByLabel("Strength").inputValue(), "1");
  await page.getByLabel("Strength").fill("0.5");
  await fill(page, { Class: "cat", Pictures: 2, Steps: 12, Seed: 7 });
  await screenshot("edit-painted");
  await press(page, "Draw");
  await until("both images are in the batch", () => engine.batch.length === 2);

  const [{ edit, ...job }] = engine.batch;
  assert.deepEqual([job.label, job.seed, job.steps, edit?.strength], [3, 7, 12, 0.5]);
  const expected = new Uint8Array(32 * 32 * 3);
  frameImage({ ...decodedRgba(200, 100, landscape) }, cropped({ width: 32, height: 32 }), expected);
  for (const [i, value] of edit!.image.entries()) {
    assert.ok(Math.abs((value + 1) * 127.5 - expected[i]!) <= 1.01, `value ${i}`);
  }
  const mask = new Mask({ width: 32, height: 32 });
  mask.stroke({ x: 8, y: 16 }, { x: 16, y: 16 }, 6, true);
  assert.deepEqual([...edit!.mask!], [...mask.painted]);

  engine.tick(3);
  await page.locator("#current .status", { hasText: /^Step [1-3] of 6$/ }).waitFor();
  engine.tick(3);
  await done(page, "2 pictures in");
  const tiles = await page.locator("#current .tiles img").all();
  assert.equal(tiles.length, 3, "the original and two results");
  const [, original] = (await tiles[0].getAttribute("src"))!.split(",");
  assert.deepEqual(decodePng(new Uint8Array(Buffer.from(original, "base64"))).width, 32);
  assert.equal(await tiles[0].getAttribute("alt"), "Your picture");
  assert.match(await page.locator("#current .note").innerText(), /a part of your picture, strength 0.5/);
  await screenshot("edit-drawn");

  await page.locator("#current .tile").first().click();
  await page.getByRole("dialog", { name: "cat" }).waitFor();
  assert.match(await page.locator("#details-list").innerText(), /a part drawn anew/);
  assert.equal(await page.locator("#terminal").isVisible(), false);
  await press(page, "Same seed again");
  await until("it is drawn again", () => engine.batch.length === 1);
  assert.deepEqual(engine.batch[0].edit, edit);
  engine.tick(6);
  await done(page, "1 picture in");

  await press(page, "Remove the picture");
  await page.getByText("Drop a picture here").waitFor();
  await press(page, "Draw");
  await until("a picture from noise", () => engine.batch.length === 1);
  assert.equal(engine.batch[0].edit, undefined);
  engine.tick(12);
  await done(page, "1 picture in");
});

visitTest("a drawing cancelled while its picture is read leaves none behind", {}, async ({ page }) => {
  await fill(page, { Class: "cat", Pictures: 1, Steps: 5 });
  await press(page, "Draw");
  await done(page, "1 picture in");
  await page.evaluate(`{
    const read = createImageBitmap;
    const released = new Promise((resolve) => globalThis.release = resolve);
    globalThis.createImageBitmap = (file) => released.then(() => read(file));
  }`);
  await drop(page, PICTURE);
  await press(page, "Draw");
  await page.locator("#pictures[aria-busy=true]").waitFor();
  await page.locator("#current .tile").click();
  await press(page, "Same seed again"); // once the drawing that waits for the picture has ended
  await page.evaluate("release()");
  await page.locator("#past .tile").waitFor();
  await done(page, "1 picture in");
  assert.equal(await page.locator("#past .drawing").count(), 1);
});

/** What a PNG of these colours holds. */
function decodedRgba(width: number, height: number, colour: (x: number, y: number) => number[]) {
  const rgba = new Uint8Array(4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rgba.set([...colour(x, y), 255], 4 * (y * width + x));
  }
  return { width, height, rgba };
}

visitTest("the keyboard paints, erases and clears; a finger paints on a phone", {
  browser: { viewport: { width: 360, height: 740 }, hasTouch: true, colorScheme: "dark" },
}, async ({ page, engine, screenshot }) => {
  await page.getByRole("radio", { name: "dog" }).waitFor();
  await page.locator("#edit-summary").click();
  await page.locator("#edit-file").setInputFiles({
    name: "picture.png",
    mimeType: "image/png",
    buffer: Buffer.from(PICTURE),
  });
  await page.locator("#edit-canvas").waitFor();
  assert.equal(await page.evaluate("document.activeElement.id"), "edit-canvas");
  await page.locator("#brush").fill("1");
  await page.locator("#edit-canvas").focus();
  await page.keyboard.press("Shift+ArrowLeft");
  // As when the page moves under a pointer that rests
  for (const type of ["pointermove", "pointerleave"]) {
    await page.locator("#edit-canvas").dispatchEvent(type, { clientX: 1, clientY: 1 });
  }
  for (const key of ["ArrowUp", " ", "ArrowRight", " "]) await page.keyboard.press(key);
  const painted = async () => {
    const before = engine.added.length;
    await press(page, "Draw");
    await until("an edit", () => engine.added.length > before);
    await done(page, "4 pictures in");
    const { mask } = engine.added.at(-1)!.edit!;
    return mask ? [...mask].flatMap((value, i) => value === 1 ? [[i % 32, Math.floor(i / 32)]] : []) : [];
  };
  assert.deepEqual(await painted(), [[12, 15], [13, 15]]);
  await page.locator("#erase").check();
  await page.mouse.move(0, 0); // off the canvas, wherever the layout moves it
  await page.locator("#edit-canvas").focus();
  for (let i = 0; i < 16; i++) await page.keyboard.press("Shift+ArrowLeft");
  for (const key of ["ArrowUp", ...Array(13).fill("ArrowRight"), " "]) await page.keyboard.press(key);
  assert.deepEqual(await painted(), [[12, 15]]);

  await press(page, "Clear");
  assert.deepEqual(await painted(), []);
  await page.locator("#paint").check();
  await page.locator("#edit-canvas").hover();
  const canvas = (await page.locator("#edit-canvas").boundingBox())!;
  await page.touchscreen.tap(canvas.x + canvas.width * 5.5 / 32, canvas.y + canvas.height * 9.5 / 32);
  assert.deepEqual(await painted(), [[5, 9]]);
  const wide = await page.evaluate<number>("document.documentElement.scrollWidth");
  assert.ok(wide <= 360, `${wide} pixels wide`);
  await screenshot("edit-phone");
});

visitTest("a file that is no picture is refused on the page, and what the server refuses is shown", {
  expected: /Failed to load resource/,
  settings: { maxWork: 3 },
}, async ({ page }) => {
  await page.getByRole("radio", { name: "cat" }).waitFor();
  await drop(page, new TextEncoder().encode("hello"), "notes.txt");
  await page.getByText("The browser cannot read this file as a picture.").waitFor();
  await drop(page, PICTURE);
  await page.locator("#edit-canvas").waitFor();
  assert.equal(await page.locator("#edit-trouble").isVisible(), false);
  await drop(page, new TextEncoder().encode("hello"), "notes.txt");
  await page.getByText("The browser cannot read this file as a picture.").waitFor();
  assert.ok(await page.locator("#edit-canvas").isVisible(), "the picture is still there");
  await press(page, "Draw");
  await page.locator("#trouble", { hasText: "3 network evaluations a client" }).waitFor();
});

visitTest(
  "a part is drawn in several passes, by a sampler that can repeat its steps; a request that waits says so",
  {
    engine: { automatic: undefined, rows: 2 },
  },
  async ({ page, engine, address, screenshot }) => {
    await page.getByRole("radio", { name: "cat" }).waitFor();
    await drop(page, PICTURE);
    await page.locator("#edit-canvas").waitFor();
    const passes = page.getByLabel("Passes");
    assert.ok(await passes.isDisabled(), "only a part can be drawn again");
    await page.locator("#edit-canvas").focus();
    await page.keyboard.press(" ");
    await fill(page, { Pictures: 1, Steps: 4, Passes: 3 });
    await screenshot("edit-passes");
    await press(page, "Draw");
    const told = await page.locator("#sampler").evaluate((select) =>
      (select as unknown as Select).validationMessage
    );
    assert.match(told, /^More than one pass needs a sampler .*: ddpm, ddim, euler, euler-ancestral\.$/);
    await press(page, "Clear");
    assert.ok(
      await page.locator("#sampler").evaluate((select) => (select as unknown as Select).checkValidity()),
    );
    await page.locator("#edit-canvas").focus();
    await page.keyboard.press(" ");
    assert.equal(engine.added.length, 0);

    const before = fetch(`${address}generate?class=dog`);
    await until("another is drawn", () => engine.batch.length === 1);
    await page.getByLabel("Sampler").selectOption("ddim");
    await press(page, "Draw");
    await done(page, "Next in the queue");
    engine.tick(4);
    await (await before).body?.cancel();
    await until("it is drawn", () => engine.batch.length === 1);
    const [{ edit, sampler }] = engine.batch;
    assert.deepEqual([edit?.resamplings, sampler], [3, "ddim"]);
    while (engine.batch.length > 0) engine.tick();
    await done(page, "1 picture in");
    assert.match(await page.locator("#current .note").innerText(), /strength 1, 3 passes/);

    await fill(page, { Passes: 1 });
    await page.locator("#current .tile").first().click();
    assert.match(await page.locator("#details-list").innerText(), /Passes\s+3/);
    await press(page, "Same seed again");
    await until("it is drawn again", () => engine.batch.length === 1);
    assert.deepEqual(engine.batch[0].edit, edit);
    while (engine.batch.length > 0) engine.tick();
    await done(page, "1 picture in");
  },
);

/** The part of a form field that tests ask. */
interface Select {
  readonly validationMessage: string;
  checkValidity(): boolean;
}

/** A file that the page has begun to read. */
interface HeldFile {
  /** Lets the page read it, and waits for what the page does with it. */
  release(): Promise<void>;
}

/** Holds every picture that the page reads until the test releases it: what returns drops one. */
async function holdReading(page: Page): Promise<(bytes: Uint8Array, name?: string) => Promise<HeldFile>> {
  await page.evaluate(`(() => {
    const decode = createImageBitmap;
    globalThis.held = [];
    globalThis.createImageBitmap = (file) => {
      const { promise, resolve } = Promise.withResolvers();
      const bitmap = promise.then(() => decode(file));
      held.push({ resolve, read: bitmap.catch(() => {}) });
      return bitmap;
    };
  })()`);
  let dropped = 0;
  return async (bytes, name) => {
    const mine = dropped++;
    await drop(page, bytes, name);
    // the page first looks for settings in it
    await until("the page reads it", () => page.evaluate(`held.length > ${mine}`));
    return {
      release: () =>
        page.evaluate(`(async () => {
          held[${mine}].resolve();
          await held[${mine}].read;
          await new Promise((resolve) => setTimeout(resolve));
        })()`),
    };
  };
}

/** A picture of one shade. */
const shade = (value: number) => makePng(64, 64, () => [value, value, value]);

/** Red of the first pixel that the editor shows. */
async function shown(page: Page): Promise<number> {
  return await page.evaluate(
    "document.getElementById('edit-canvas').getContext('2d').getImageData(0, 0, 1, 1).data[0]",
  );
}

visitTest("of two pictures chosen in quick succession the last is used, whichever is read first", {}, async (
  { page, engine },
) => {
  await page.getByRole("radio", { name: "cat" }).waitFor();
  const dropHeld = await holdReading(page);
  const first = await dropHeld(await shade(10));
  const second = await dropHeld(await shade(200));
  await second.release();
  await page.locator("#edit-canvas").waitFor();
  await page.locator("#edit-canvas").focus();
  await page.keyboard.press(" ");
  await page.getByLabel("Strength").fill("0.5");
  await first.release();
  assert.equal(await shown(page), 200);
  assert.equal(await page.getByLabel("Strength").inputValue(), "0.5", "the strength is still its own");
  await page.getByText("The chequered part is drawn anew").waitFor();

  // One that is no picture leaves the one before, and one that is removed does not come back.
  const third = await dropHeld(await shade(90));
  const text = await dropHeld(new TextEncoder().encode("hello"), "notes.txt");
  await text.release();
  await page.getByText("The browser cannot read this file as a picture.").waitFor();
  await third.release();
  assert.equal(await shown(page), 200);
  const removed = await dropHeld(await shade(30));
  await press(page, "Remove the picture");
  await removed.release();
  assert.equal(await page.locator("#edit-canvas").isVisible(), false);
  assert.equal(engine.added.length, 0);
});

visitTest("what is drawn while a picture is being read starts from that picture, once", {}, async (
  { page, engine },
) => {
  await page.getByRole("radio", { name: "cat" }).waitFor();
  const dropHeld = await holdReading(page);
  await (await dropHeld(await shade(10))).release();
  await page.locator("#edit-canvas").waitFor();
  await page.locator("#edit-canvas").focus();
  await page.keyboard.press(" ");
  await fill(page, { Pictures: 1, Passes: 2 });
  const white = await dropHeld(await shade(255));
  await page.getByLabel("Sampler").selectOption("ddim");
  await page.evaluate("for (const _ of [1, 2]) document.getElementById('draw').click()");
  assert.equal(engine.added.length, 0);
  await white.release();
  await done(page, "1 picture in");
  const [{ edit }, ...others] = engine.added;
  assert.ok(edit!.image.every((value) => value === 1), "white");
  assert.equal(edit!.mask, undefined, "the mask was painted on another picture");
  assert.equal(edit!.strength, 0.6);
  assert.equal(await page.getByLabel("Passes").inputValue(), "1");
  assert.deepEqual(others, []);
});

Deno.test("the page crops and resizes as the server does, to a shade", () => {
  const size = { width: 12, height: 8 };
  for (const [width, height] of [[40, 30], [9, 50], [12, 8], [7, 5]] as const) {
    const colour = (x: number, y: number) => [(x * 37 + y * 11) % 256, (x * y * 5) % 256, (y * 71) % 256];
    const picture = decodedRgba(width, height, colour);
    const expected = new Uint8Array(12 * 8 * 3);
    frameImage(picture, cropped(size), expected);
    const { left, top, across, down } = centre(picture, size);
    const crop = decodedRgba(across, down, (x, y) => colour(x + left, y + top));
    const found = average(new Uint8ClampedArray(crop.rgba), crop, size);
    for (const [i, value] of expected.entries()) {
      assert.ok(Math.abs(found[4 * Math.floor(i / 3) + i % 3]! - value) <= 1, `${width}x${height}: ${i}`);
    }
  }
});

Deno.test("a stroke has no gaps, and the smallest brush is one pixel", () => {
  const mask = new Mask({ width: 20, height: 10 });
  assert.ok(mask.empty);
  mask.stroke({ x: 1.5, y: 1.5 }, { x: 18.5, y: 8.5 }, 1, true);
  for (let x = 1; x <= 18; x++) {
    assert.ok(mask.painted.some((value, i) => value === 1 && i % 20 === x), `column ${x}`);
  }
  mask.stroke({ x: 1.5, y: 1.5 }, { x: 18.5, y: 8.5 }, 3, false);
  assert.ok(mask.empty);
  mask.stroke({ x: 4.2, y: 3.9 }, { x: 4.2, y: 3.9 }, 1, true);
  assert.deepEqual([...mask.painted].flatMap((value, i) => value ? [i] : []), [3 * 20 + 4]);
});
