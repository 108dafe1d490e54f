/** A visit to the server's page in a real Chromium, and what must hold on any such visit. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { type Harness, harness, type HarnessOptions } from "./harness.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PLACES = [
  "/opt/google/chrome/chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

const executablePath = findChromium();
/** Whether the tests of this file are left out: there is no browser, and nobody insists on one. */
export const withoutBrowser = !executablePath && Deno.env.get("DENOISE_REQUIRE_CHROMIUM") !== "1";

/** A page that is open, and the server behind it. */
export interface Visit extends Harness {
  readonly page: Page;
  /** Address of the page. */
  readonly address: string;
  /** Takes a picture of the page into the folder that DENOISE_SCREENSHOTS names, if it does. */
  readonly screenshot: (name: string) => Promise<void>;
}

/** How a page is opened. */
export interface PageOptions {
  readonly browser?: BrowserContextOptions;
  /** Messages of errors that the browser may log. */
  readonly expected?: RegExp;
}

/** How a {@linkcode visitTest} begins. */
export interface VisitOptions extends HarnessOptions, PageOptions {}

let browser: Browser | undefined;
Deno.test.afterAll(() => browser?.close());

/**
 * A test that begins with the page open. Whatever it does, the page must throw and log no error, and must ask no other
 * server for anything.
 */
export function visitTest(name: string, options: VisitOptions, test: (visit: Visit) => Promise<void>): void {
  browserTest(name, () => visit(options, test));
}

/** A test that opens pages. */
export function browserTest(name: string, fn: () => Promise<void>): void {
  // the browser stays open from one test to the next
  Deno.test({ name, ignore: withoutBrowser, sanitizeOps: false, sanitizeResources: false, fn });
}

async function visit(options: VisitOptions, test: (visit: Visit) => Promise<void>): Promise<void> {
  const server = harness(options);
  const listener = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request, info) => server.app.fetch(request, { remoteAddr: info.remoteAddr }),
  );
  const address = `http://127.0.0.1:${listener.addr.port}/`;
  try {
    await withPage(address, options, async (page) => {
      const screenshot = async (name: string) => {
        const folder = Deno.env.get("DENOISE_SCREENSHOTS");
        if (folder) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
      };
      await test({ ...server, page, address, screenshot });
    });
  } finally {
    await server.context.runner.drain(0); // else a failed test would wait for its requests
    await server.engine.close();
    await listener.shutdown();
  }
}

/** Opens a page, and sees to it that it throws and logs no error, and asks no other server for anything. */
export async function withPage(
  address: string,
  options: PageOptions,
  test: (page: Page) => Promise<void>,
): Promise<void> {
  assert.ok(
    executablePath,
    `none of ${NAMES.join(", ")} is here, and DENOISE_REQUIRE_CHROMIUM=1 asks for one`,
  );
  browser ??= await launch(executablePath);
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options.browser });
  const faults: string[] = [];
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" && !options.expected?.test(message.text())) faults.push(message.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(address) && !request.url().startsWith("data:")) {
        faults.push(request.url());
      }
    });
    await page.goto(address);
    await test(page);
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
  }
}

async function launch(executablePath: string): Promise<Browser> {
  // A part of playwright asks at its import whether this is Windows' Linux, by looking at /proc, which needs more than
  // the permission to read. It does not where it believes that it is being tested.
  Deno.env.set("__IS_WSL_TEST__", "1");
  const { chromium } = await import("playwright-core");
  const sandbox = Deno.uid() === 0 ? ["--no-sandbox"] : []; // root cannot have one
  return await chromium.launch({ executablePath, args: ["--disable-gpu", ...sandbox] });
}

function findChromium(): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":").concat("/usr/bin", "/usr/local/bin", "/snap/bin");
  const files = NAMES.flatMap((name) => folders.map((folder) => `${folder}/${name}`)).concat(PLACES);
  return files.find((file) => existsSync(file));
}

/** Waits until something is so. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000;
  while (!await isSo()) {
    if (performance.now() > end) throw new Error(`waited 20 s in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Fills in the form's fields, by their labels. */
export async function fill(page: Page, values: Readonly<Record<string, string | number>>): Promise<void> {
  for (const [label, value] of Object.entries(values)) {
    if (label === "Class") await page.getByRole("radio", { name: String(value), exact: true }).check();
    else await page.getByLabel(label, { exact: true }).fill(String(value));
  }
}

/** Presses a button by its name. */
export async function press(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name, exact: true }).click();
}

/** Waits until the newest drawing says this of itself. */
export async function done(page: Page, text: string): Promise<void> {
  await page.locator("#current .status", { hasText: text }).waitFor();
}
