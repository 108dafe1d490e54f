import assert from "node:assert/strict";
import type { Locator, Page } from "playwright-core";
import { CIFAR10_CLASSES } from "../../../lib/data/cifar10.ts";
import { labelText } from "../../../lib/sampling/class_choice.ts";
import { withServer } from "../../support/server/process.ts";
import {
  browserTest,
  done,
  fill,
  press,
  until,
  type Visit,
  visitTest,
  withoutBrowser,
  withPage,
} from "../../support/server/browser.ts";

if (withoutBrowser) console.log("the page was not tested: there is no chromium or google-chrome here");

const MANUAL = { automatic: undefined };
const FAILED = /Failed to load resource/;

/** The bytes that a tile shows. */
async function bytesOf(image: Locator): Promise<Uint8Array> {
  const [, base64] = (await image.getAttribute("src") ?? "").split("data:image/png;base64,");
  return Uint8Array.fromBase64(base64);
}

/** The bytes of a picture that the server draws, its engine's steps passing meanwhile. */
async function download({ address, engine }: Visit, url: string): Promise<Uint8Array> {
  assert.ok(url.startsWith(address), url);
  let bytes: Uint8Array | undefined;
  const answer = fetch(url).then((response) => response.bytes()).then((all) => bytes = all);
  await until(`the picture at ${url}`, () => {
    engine.tick();
    return bytes !== undefined;
  });
  return await answer;
}

const images = (page: Page) => page.locator("#current .tile img");

visitTest(
  "the page shows a picture emerge, up to the bytes of /generate",
  { engine: MANUAL },
  async (visit) => {
    const { page, engine, address } = visit;
    await fill(page, { Class: "cat", Pictures: 2, Steps: 40, Seed: 7 });
    await press(page, "Draw");
    await until("both images are in the batch", () => engine.batch.length === 2);
    const [first, second] = await images(page).all();
    const seen = [await first.getAttribute("src")];
    const looks = [await first.screenshot()];
    while (engine.batch.length > 0) {
      engine.tick(5); // each five of the 40 steps have one of the eight previews, or the finished image
      await until("the picture changes", async () => await first.getAttribute("src") !== seen.at(-1));
      await page.evaluate("document.querySelector('#current img').decode()");
      seen.push(await first.getAttribute("src"));
      looks.push(await first.screenshot());
    }
    await done(page, "2 pictures in");
    assert.ok(seen.length - 2 >= 3, `${seen.length - 2} previews`);
    assert.equal(new Set(looks.map((look) => look.toBase64())).size, seen.length);

    const settings = "class=cat&steps=40&sampler=unipc&guidance=2";
    assert.deepEqual(await bytesOf(first), await download(visit, `${address}generate?${settings}&seed=7`));
    assert.deepEqual(await bytesOf(second), await download(visit, `${address}generate?${settings}&seed=8`));
  },
);

visitTest(
  "steps follow the sampler, as by the server's defaults, until somebody chooses a number",
  { settings: { steps: undefined } },
  async ({ page }) => {
    await page.locator("#draw:enabled").waitFor(); // the form is filled
    const steps = page.getByLabel("Steps");
    assert.equal(await steps.inputValue(), "15");
    const choose = async (sampler: string) => {
      await page.getByLabel("Sampler").selectOption(sampler);
      return await steps.inputValue();
    };
    assert.deepEqual([await choose("heun"), await choose("ddpm"), await choose("ddim")], ["8", "1000", "15"]);
    await fill(page, { Steps: 30 });
    assert.equal(await choose("heun"), "30");
  },
);

visitTest(
  "the evaluations that the server was started with are the form's, for every sampler",
  { settings: { steps: 12 } },
  async ({ page }) => {
    await page.locator("#draw:enabled").waitFor(); // the form is filled
    const steps = page.getByLabel("Steps");
    assert.equal(await steps.inputValue(), "12");
    await page.getByLabel("Sampler").selectOption("heun"); // two evaluations a step
    assert.equal(await steps.inputValue(), "6");
  },
);

visitTest("a picture tells its way, its seed and its curl line, and can be drawn again", {
  engine: MANUAL,
  browser: { permissions: ["clipboard-read", "clipboard-write"] },
}, async (visit) => {
  const { page, engine } = visit;
  await fill(page, { Class: "any class", Pictures: 3, Steps: 20, Guidance: 1.5, Seed: 41 });
  await press(page, "Draw");
  await until("the images are in the batch", () => engine.batch.length === 3);
  assert.deepEqual(engine.batch.map(({ steps, guidance }) => [steps, guidance]), Array(3).fill([20, 1.5]));
  const noise = await images(page).nth(2).getAttribute("src");
  engine.tick(4);
  await until("a preview", async () => await images(page).nth(2).getAttribute("src") !== noise);
  engine.tick(16);
  await done(page, "3 pictures in");
  const picture = await bytesOf(images(page).nth(2));

  await page.locator(".tile").nth(2).click();
  const dialog = page.getByRole("dialog", { name: "cat" }); // of seed 43
  const facts = "Seed 43 Steps 20 Sampler unipc Guidance 1.5 Model fake-model-step-100";
  assert.equal((await dialog.locator("dl").innerText()).replace(/\s+/g, " "), facts);
  const way = dialog.getByRole("slider");
  assert.deepEqual(await bytesOf(dialog.locator("img")), picture);
  assert.equal(await way.getAttribute("aria-valuetext"), "Finished after step 20");
  await way.press("Home");
  assert.match(await way.getAttribute("aria-valuetext") ?? "", /^Estimate after step \d+ of 20$/);
  assert.notDeepEqual(await bytesOf(dialog.locator("img")), picture);

  const curl = await dialog.locator("code").innerText();
  const [, file, url] = /^curl -fo (\S+) '(\S+)'$/.exec(curl)!;
  assert.equal(file, "cat-43.png");
  assert.deepEqual(await download(visit, url), picture);
  await dialog.getByRole("button", { name: "Copy" }).click();
  await dialog.getByText("Copied").waitFor();
  assert.equal(await page.evaluate("navigator.clipboard.readText()"), curl);
  const saving = page.waitForEvent("download");
  await dialog.getByRole("link", { name: "Save the picture" }).click();
  assert.equal((await saving).suggestedFilename(), "cat-43.png");

  await dialog.getByRole("button", { name: "Same seed again" }).click();
  await until("the image is in the batch again", () => engine.batch.length === 1);
  engine.tick(20);
  await done(page, "1 picture in");
  assert.deepEqual(await bytesOf(images(page)), picture);
  assert.equal(await page.getByRole("heading", { name: "Earlier pictures" }).isVisible(), true);
  assert.equal(await page.locator("#past .tile").count(), 3);
});

visitTest(
  "a mixture, a negative class, rescaling and noise levels are sent, shown and found again",
  {},
  async ({ page, engine, screenshot }) => {
    await page.getByText("More about guidance").click();
    await page.getByLabel("Away from").selectOption("truck");
    await fill(page, {
      Guidance: 4,
      Rescale: 0.7,
      Mixture: "cat:0.6,dog:0.4",
      "Noise levels": "0.2,2",
      Steps: 6,
      Seed: 5,
    });
    await screenshot("more-about-guidance");
    await press(page, "Draw");
    await done(page, "4 pictures in");
    const { label, guidance, negative, guidanceRescale, guidanceInterval } = engine.added[0];
    assert.equal(labelText(label, CIFAR10_CLASSES), "cat:0.6,dog:0.4");
    assert.deepEqual([guidance, negative, guidanceRescale, guidanceInterval], [4, 9, 0.7, [0.2, 2]]);
    assert.match(
      await page.locator("#current").innerText(),
      /6 steps, unipc, guidance 4, away from truck, rescaled 0.7, at noise levels 0.2,2/,
    );
    await page.locator("#current .tile").first().click();
    assert.match(
      await page.locator("#details-list").innerText(),
      /Away from\s+truck\s+Rescale\s+0.7\s+Noise levels\s+0.2,2/,
    );
    const link = new URL(/'(http[^']+)'/.exec(await page.locator("#curl").innerText())![1]);
    assert.deepEqual(
      ["class", "negative_class", "guidance_rescale", "guidance_interval"].map((name) =>
        link.searchParams.get(name)
      ),
      ["cat:0.6,dog:0.4", "truck", "0.7", "0.2,2"],
    );
    await fill(page, {});
    await press(page, "Same seed again");
    await done(page, "1 picture in");
    assert.deepEqual(engine.added.at(-1)?.label, label);
    assert.deepEqual(engine.added.at(-1)?.guidanceInterval, [0.2, 2]);
  },
);

visitTest("a row per class draws the same seeds in every class", {}, async ({ page, engine, screenshot }) => {
  await fill(page, { Guidance: 3, Class: "no class", Pictures: 3, Steps: 10, Seed: 5 });
  assert.equal(await page.getByLabel("Guidance").isDisabled(), true);
  await press(page, "A row per class");
  await done(page, "30 pictures in");
  assert.deepEqual(await page.locator("#current h3").allInnerTexts(), [...CIFAR10_CLASSES]);
  const names = await page.evaluate<string[]>(
    "[...document.querySelectorAll('#current img')].map(({ alt }) => alt)",
  );
  const expected = CIFAR10_CLASSES.flatMap((name) => [5, 6, 7].map((seed) => `${name}, seed ${seed}`));
  assert.deepEqual(names, expected);
  const drawn = engine.added.map(({ label, seed, guidance }) =>
    `${labelText(label, CIFAR10_CLASSES)}, seed ${seed}, ${guidance}`
  );
  assert.deepEqual(drawn.sort(), expected.map((name) => `${name}, 3`).sort());
  await screenshot("rows-light");
});

visitTest(
  "a request that waits says so, and can be cancelled",
  { engine: { ...MANUAL, rows: 2 } },
  async (visit) => {
    const { page, engine, address } = visit;
    const before = [fetch(`${address}generate?class=dog`), fetch(`${address}generate?class=dog`)];
    await until("one is drawn, one waits", () => visit.context.runner.state.waiting === 1);
    await fill(page, { Class: "cat", Pictures: 1 });
    await press(page, "Draw");
    await done(page, "In the queue, behind 1 request");
    assert.equal(await page.locator("#announce").innerText(), "In the queue, behind 1 request");
    engine.tick(4);
    await done(page, "Next in the queue");
    await page.getByRole("button", { name: "Cancel" }).focus();
    await page.keyboard.press("Enter");
    await done(page, "Stopped: 0 of 1 picture finished");
    assert.equal(await page.evaluate("document.activeElement.id"), "draw");
    await until("nobody waits", () => visit.context.runner.state.waiting === 0);
    engine.tick(4);
    for (const answer of await Promise.all(before)) await answer.body?.cancel();
    assert.equal(engine.added.filter(({ label }) => label === 3).length, 0);
  },
);

visitTest(
  "what goes wrong is said in words, and can be tried again",
  { engine: MANUAL, expected: FAILED },
  async (visit) => {
    const { page, engine } = visit;
    const trouble = page.getByRole("alert");
    await fill(page, { Class: "cat", Pictures: 1, Steps: 5 });
    engine.down(undefined, 3);
    await press(page, "Draw");
    await trouble.getByText(/The server asks to wait \d seconds\.$/).waitFor();
    await visit.screenshot("trouble");
    engine.up();
    await press(page, "Try again");
    await until("the image is in the batch", () => engine.batch.length === 1);
    assert.equal(await trouble.isVisible(), false);
    engine.fail();
    await trouble.getByText(/could not be drawn/).waitFor();
    await press(page, "Try again");
    await until("the image is in the batch", () => engine.batch.length === 1);
    engine.tick(5);
    await done(page, "1 picture in");

    await page.route("**/generate/**", (route) => route.abort());
    await press(page, "Draw");
    await trouble.getByText("The server is not responding.").waitFor();
    await fill(page, { Seed: "9007199254740991" });
    await press(page, "Draw");
    assert.equal(await page.evaluate("document.querySelector('#seed').validity.customError"), true);
  },
);

visitTest("an error before anything is asked of the server leaves the page usable", {}, async ({ page }) => {
  await fill(page, { Class: "cat", Pictures: 1, Steps: 5 });
  await page.evaluate(`crypto.getRandomValues = () => { throw new Error("no random numbers"); }`);
  await press(page, "Draw");
  await page.getByRole("alert").getByText("No random numbers.").waitFor();
  assert.equal(await page.locator("#draw").getAttribute("aria-disabled"), "false");
  assert.equal(await page.locator("#pictures").getAttribute("aria-busy"), "false");
  await page.evaluate("delete crypto.getRandomValues");
  await press(page, "Try again");
  await done(page, "1 picture in");
});

visitTest("a token is asked for and sent", { token: "sesame", expected: FAILED }, async ({ page }) => {
  const dialog = page.getByRole("dialog", { name: "This server requires a token" });
  await dialog.getByLabel("Token").fill("wrong");
  await page.keyboard.press("Enter");
  await dialog.getByText("The server rejected this token.").waitFor();
  await dialog.getByLabel("Token").fill("sesame");
  await dialog.getByRole("button", { name: "Use token" }).click();
  await fill(page, { Class: "cat", Pictures: 1, Seed: 3 });
  await press(page, "Draw");
  await done(page, "1 picture in");
  await page.locator("#current .tile").click();
  const curl = await page.locator("#curl").innerText();
  assert.match(curl, /^curl -H "Authorization: Bearer \$TOKEN" -fo /);
  assert.equal(curl.includes("sesame"), false);
  assert.equal(await page.evaluate("localStorage.length + document.cookie.length"), 0);
});

visitTest("what cannot be a token is never sent, and asked for again", {
  token: "sesame",
  expected: FAILED,
}, async ({ page }) => {
  const dialog = page.getByRole("dialog", { name: "This server requires a token" });
  const ready = page.getByRole("radio", { name: "cat", exact: true });
  await dialog.getByLabel("Token").fill("ses…ame");
  await page.keyboard.press("Enter");
  await dialog.getByText("Not a valid token").waitFor();
  await dialog.getByLabel("Token").fill(" sesame ");
  await page.keyboard.press("Enter");
  await ready.waitFor();
  // Nor one that is kept from before.
  await page.evaluate("sessionStorage.setItem(sessionStorage.key(0), 'ses…ame')");
  await page.reload();
  await dialog.getByLabel("Token").fill("sesame");
  assert.equal(await page.locator("#token-wrong").isVisible(), false);
  await page.keyboard.press("Enter");
  await ready.waitFor();
});

visitTest("the page leads to what programs can ask for, with a token, too", {
  token: "sesame",
  expected: FAILED,
}, async ({ page }) => {
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("link", { name: "API documentation" }).click();
  await page.getByRole("heading", { name: "POST /v1/images/generations" }).waitFor();
  await page.getByRole("heading", { name: "POST /v1/images/edits" }).waitFor();
  assert.ok(await page.getByText("partial_images", { exact: true }).count() > 0);
});

browserTest("a real server's page shows the very bytes that /generate gives", async () => {
  await withServer({}, async ({ url }) => {
    await withPage(`${url}/`, {}, async (page) => {
      await fill(page, { Class: "1", Pictures: 2, Steps: 12, Seed: 5 });
      await press(page, "Draw");
      await done(page, "2 pictures in");
      for (const [i, image] of (await images(page).all()).entries()) {
        const answer = await fetch(`${url}/generate?class=1&steps=12&seed=${5 + i}`);
        assert.deepEqual(await bytesOf(image), await answer.bytes());
      }
    });
  });
});
