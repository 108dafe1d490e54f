/** Tests of the server's page in a real Chromium, with checks that apply to every test. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { type Harness, harness, type HarnessOptions } from "./harness.ts";

export { until } from "../until.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PLACES = [
  "/opt/google/chrome/chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

const executablePath = findChromium();
/** Browser tests are skipped: there is no browser, and DENOISE_REQUIRE_CHROMIUM is not 1. */
export const withoutBrowser = !executablePath && Deno.env.get("DENOISE_REQUIRE_CHROMIUM") !== "1";

/** An open page and its server. */
export interface Visit extends Harness {
  readonly page: Page;
  /** Address of the page. */
  readonly address: string;
  /** Saves a screenshot in the folder DENOISE_SCREENSHOTS, if set. */
  readonly screenshot: (name: string) => Promise<void>;
}

/** Options of {@linkcode withPage}. */
export interface PageOptions {
  readonly browser?: BrowserContextOptions;
  /** Errors that the browser is allowed to log. */
  readonly expected?: RegExp;
  /** Opens the page in a browser with WebGPU, on SwiftShader, its own software adapter. */
  readonly webGpu?: boolean;
  /** Milliseconds to wait for anything on the page; default 20,000. */
  readonly timeout?: number;
}

/** Options of {@linkcode visitTest}. */
export interface VisitOptions extends HarnessOptions, PageOptions {}

/** Flags of Chromium by whether pages have WebGPU. */
const FLAGS = {
  plain: ["--disable-gpu"],
  webGpu: ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
};

const browsers = new Map<keyof typeof FLAGS, Browser>();
Deno.test.afterAll(async () => {
  for (const browser of browsers.values()) await browser.close();
});

/**
 * A test that begins with the page open. The page must not throw or log errors, or send requests to other servers.
 */
export function visitTest(name: string, options: VisitOptions, test: (visit: Visit) => Promise<void>): void {
  browserTest(name, () => visit(options, test));
}

/** A test that opens pages. */
export function browserTest(name: string, fn: () => Promise<void>): void {
  // the browser stays open between tests
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
    await server.context.runner.drain(0); // otherwise a failed test would wait for its requests
    await server.engine.close();
    await listener.shutdown();
  }
}

/** Opens a page, and fails if it throws or logs an error, or sends a request to another server. */
export async function withPage(
  address: string,
  options: PageOptions,
  test: (page: Page) => Promise<void>,
): Promise<void> {
  assert.ok(
    executablePath,
    `none of ${NAMES.join(", ")} is here, and DENOISE_REQUIRE_CHROMIUM=1 asks for one`,
  );
  const kind = options.webGpu ? "webGpu" : "plain";
  const browser = browsers.get(kind) ?? await launch(executablePath, FLAGS[kind]);
  browsers.set(kind, browser);
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options.browser });
  const faults: string[] = [];
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(options.timeout ?? 20_000);
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

async function launch(executablePath: string, flags: readonly string[]): Promise<Browser> {
  // On import, playwright detects WSL by reading /proc, which needs more than --allow-read; this variable of its own tests
  // skips that.
  Deno.env.set("__IS_WSL_TEST__", "1");
  const { chromium } = await import("playwright-core");
  const sandbox = Deno.uid() === 0 ? ["--no-sandbox"] : []; // not available to root
  return await chromium.launch({ executablePath, args: [...flags, ...sandbox] });
}

function findChromium(): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":").concat("/usr/bin", "/usr/local/bin", "/snap/bin");
  const files = NAMES.flatMap((name) => folders.map((folder) => `${folder}/${name}`)).concat(PLACES);
  return files.find((file) => existsSync(file));
}

/** Fills in form fields by label. */
export async function fill(page: Page, values: Readonly<Record<string, string | number>>): Promise<void> {
  for (const [label, value] of Object.entries(values)) {
    if (label === "Class") await page.getByRole("radio", { name: String(value), exact: true }).check();
    else await page.getByLabel(label, { exact: true }).fill(String(value));
  }
}

/** Presses a button by name. */
export async function press(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name, exact: true }).click();
}

/** Waits until the newest drawing shows a text. */
export async function done(page: Page, text: string): Promise<void> {
  await page.locator("#current .status", { hasText: text }).waitFor();
}
