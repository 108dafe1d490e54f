/** Runs as reports have them, and reports in a real Chromium. */
import { pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { parseLog } from "../../lib/report/run_log.ts";
import type { RunRecord } from "../../lib/report/run_record.ts";
import { resolveGrids } from "../../lib/train/options.ts";
import { resolveSettings, type SettingsOptions } from "../../lib/train/settings.ts";
import { SOFTWARE } from "./adapters.ts";
import { browserTest, type PageOptions, withPage } from "./server/browser.ts";

/** Lines of a log: `epochs` epochs of four steps each. */
export function logLines(epochs: number): object[] {
  return Array.from({ length: epochs }, (_, i) => [
    ...Array.from({ length: 4 }, (_, j) => ({
      ...{ type: "step", step: 4 * i + j + 1, epoch: i + 1, loss: 1 / (4 * i + j + 1), gradientNorm: 2 },
      ...{ learningRate: 1e-4, imagesPerSecond: 50 + j, remainingSeconds: 1 },
    })),
    {
      ...{ type: "epoch", epoch: i + 1, step: 4 * i + 4, trainLoss: 1 / (i + 1), valLoss: 0.9 / (i + 1) },
      seconds: 30,
    },
  ]).flat();
}

/** A made-up run of a few epochs on a software adapter. */
export function runRecord(
  record: Partial<RunRecord> = {},
  options: SettingsOptions = {},
  epochs = 3,
): RunRecord {
  const settings = resolveSettings({ preset: "tiny", ...options }, SOFTWARE, {
    channels: 3,
    height: 32,
    width: 32,
    classes: 2,
  });
  const log = parseLog(logLines(epochs).map((line) => JSON.stringify(line)).join("\n"));
  return {
    name: "run",
    directory: "runs/run",
    log,
    history: log.epochs,
    settings,
    grids: resolveGrids(SOFTWARE),
    model: settings.model,
    parameters: 1234,
    resumable: true,
    dataset: { name: "cifar10", digest: "ab".repeat(32) },
    machine: { adapter: SOFTWARE },
    classes: ["cat", "dog"],
    pictures: { samples: [], samplesLeftOut: 0 },
    commands: {},
    ...record,
  };
}

/** A test with a report open from its file. The page must not throw, log errors, or send a request. */
export function reportTest(
  name: string,
  options: PageOptions,
  write: () => Promise<string>,
  test: (page: Page) => Promise<void>,
): void {
  browserTest(name, async () => await withPage(pathToFileURL(await write()).href, options, test));
}
