/**
 * Speed of a long training in its second minute, when it began without a tuning cache: `second_minute.ts MODEL BATCH PRECISION
 * FILE.json` writes a report of `deno task bench` with that row. Seconds count from the start of the process, so time that tuning takes
 * after the first minute is lost speed.
 *
 * @module
 */
import { writeDurable } from "../lib/files/durable.ts";
import type { Precision } from "../lib/model/precision.ts";
import { openTuning } from "../lib/tuning/tuning_file.ts";
import { showErrorAndExit } from "../terminal/cli.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { describeEnvironment } from "./environment.ts";
import { buildTrainer } from "./training.ts";
import { measuredNetwork, modelConfig, preparePrecision } from "./models.ts";
import { newReport } from "./report.ts";

/** Steps of a run that is long enough for as much tuning as there may be. */
const LONG_RUN = 100_000;

/** Steps submitted before the device is waited for. */
const AT_ONCE = 4;

/** Window of a measurement in seconds since the start of the process. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/**
 * Steps a second within a window, of steps that are run until it ends.
 *
 * @param run runs some steps to their end
 * @param now seconds since the start of the process
 */
export async function stepsPerSecondIn(
  { from, to }: Window,
  run: (steps: number) => Promise<unknown>,
  now: () => number,
): Promise<number> {
  let [steps, before] = [0, now()];
  while (before < to) {
    await run(AT_ONCE);
    const after = now();
    // Steps across a border of the window count by the share of their time inside.
    const inside = Math.max(0, Math.min(after, to) - Math.max(before, from));
    steps += AT_ONCE * inside / (after - before);
    before = after;
  }
  return steps / (to - from);
}

async function main(
  [model = "", batchText, precisionText, file = "", seconds = "60"]: readonly string[],
): Promise<void> {
  const started = Date.now() - performance.now();
  const now = () => (Date.now() - started) / 1000;
  const batch = Number(batchText);
  const window = { from: Number(seconds), to: 2 * Number(seconds) };
  const tuningDirectory = await Deno.makeTempDir({ prefix: "denoise-tuning-" });
  try {
    const gpu = await openTaskGpu();
    const precision = precisionText as Precision;
    await preparePrecision(gpu, precision);
    const report = newReport(describeEnvironment(gpu), false);
    const tuning = await openTuning(gpu, { tuningDirectory }, console.warn);
    const trainer = await buildTrainer(gpu, modelConfig(model), batch, tuning, precision, LONG_RUN);
    const run = async (steps: number) => {
      await trainer.work(steps);
      await gpu.device.queue.onSubmittedWorkDone();
    };
    await run(1);
    const firstStepSeconds = now();
    const stepsPerSecond = await stepsPerSecondIn(window, run, now);
    const { programs: { micro, update }, flops, table } = trainer.step;
    report.training.push({
      ...measuredNetwork(model, precision),
      ...{ parameters: table.count, batch, flops, firstStepSeconds },
      dispatches: micro.dispatches.length + update.dispatches.length,
      milliseconds: 1000 / stepsPerSecond,
      imagesPerSecond: batch * stepsPerSecond,
      gflops: flops * stepsPerSecond / 1e9,
      ...{ ofPeak: 0, hostMillisecondsPer1000: 0 }, // not measured
    });
    await writeDurable(file, new TextEncoder().encode(JSON.stringify(report, null, 1) + "\n"));
    console.log(
      `first step after ${firstStepSeconds.toFixed(1)} s, ${stepsPerSecond.toFixed(2)} steps/s ` +
        `from second ${window.from} to ${window.to}`,
    );
    trainer.destroy();
    gpu.close();
  } finally {
    await Deno.remove(tuningDirectory, { recursive: true });
  }
}

if (import.meta.main) {
  try {
    await main(Deno.args);
    Deno.exit(0);
  } catch (error) {
    showErrorAndExit(error);
  }
}
