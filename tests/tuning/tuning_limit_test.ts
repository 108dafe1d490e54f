/** Tuning that ends before all choices are made: by time, by a signal, or by its caller. */
import assert from "node:assert/strict";
import { DeviceError } from "../../lib/errors.ts";
import type { TuningMeans } from "../../lib/tuning/tuning.ts";
import { tuningFile } from "../../lib/tuning/tuning_file.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { answers, LastWins, openTuning, prepareAll, toyGpu, tunableConvolution } from "../support/tuning.ts";

Deno.test("after the time limit the rest uses defaults, is not cached, and is tuned the next time", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const timer = new LastWins();
    // A second for each trial.
    const means = { ...timer.means, limit: 1, now: () => 1000 * timer.trials };
    const tuning = await openTuning(gpu, "on", directory, means);
    const graphs = [tunableConvolution(64), tunableConvolution()];
    const told = await prepareAll(tuning, graphs);
    const { done, total, finished } = told.at(-1)!;
    assert.deepEqual([done, finished!.seconds, timer.trials], [1, 1, 1]);
    assert.ok(total > 1);
    const byRule = [...answers(tuning.target, ...graphs).values()].filter(({ candidates, choice }) =>
      choice === candidates[0]
    );
    assert.ok(byRule.length > 0);
    const next = new LastWins();
    const rest = await prepareAll(await openTuning(gpu, "on", directory, next.means), graphs);
    assert.deepEqual([rest.at(-1)!.total, next.trials], [total - 1, total - 1]);
  });
});

Deno.test("auto: ten seconds at the first start, two at later ones, and more before a long run", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await toyGpu();
    const graphs = Array.from({ length: 24 }, (_, i) => tunableConvolution(32 + 4 * i));
    // A trial takes half a second.
    const start = async (runs?: number) => {
      const timer = new LastWins();
      const means = { ...timer.means, now: () => 500 * timer.trials };
      const tuning = await openTuning(gpu, "auto", directory, means);
      const options = runs === undefined ? {} : { runs: graphs.map(() => runs) };
      const told = await Array.fromAsync(tuning.prepare(() => graphs, options));
      return { told, seconds: timer.trials / 2 };
    };
    const first = await start();
    assert.equal(first.seconds, 10);
    assert.ok(first.told.every(({ extended }) => extended === undefined));
    const second = await start();
    assert.equal(second.seconds, 1.5);
    assert.ok(second.told.at(-1)!.total > 3, "some are still open");
    const long = await start(1e6);
    assert.ok(long.seconds > 1.5);
    const { extended } = long.told.at(-2)!;
    assert.equal(extended!.limitSeconds, 120);
    assert.ok(extended!.runSeconds > 2400);
    assert.deepEqual(long.told[0]!.extended, undefined);
    const { done, total } = long.told.at(-1)!;
    assert.equal(done, total);
    assert.deepEqual((await start()).told, []);
  });
});

Deno.test("choices are cached every two seconds, and when the caller leaves or the device fails", async () => {
  const graphs = [16, 32, 48, 64, 80].map(tunableConvolution);
  const kept = async (end: (timer: LastWins) => TuningMeans, tries: number) =>
    await inTemporaryDirectory(async (directory) => {
      const gpu = await testGpu();
      const timer = new LastWins();
      const tuning = await openTuning(gpu, "on", directory, {
        now: () => 1000 * timer.trials,
        ...end(timer),
      });
      const path = tuningFile(gpu, directory).path;
      const cached = async () => {
        const text = await Deno.readTextFile(path).catch(() => "{}");
        return Object.keys(JSON.parse(text).choices ?? {}).length;
      };
      const during: number[] = [];
      try {
        for await (const _ of tuning.prepare(() => graphs)) {
          during.push(await cached());
          if (during.length === tries) break;
        }
      } catch (error) {
        assert.ok(error instanceof DeviceError);
      }
      assert.equal(timer.started, timer.destroyed);
      return { during, after: await cached(), trials: timer.trials };
    });
  const all = await kept(({ means }) => means, Infinity);
  assert.ok(all.during.includes(2) && all.after > 4, all.during.join());
  const left = await kept(({ means }) => means, 2);
  assert.deepEqual([left.during.at(-1), left.after > 0], [0, true]);
  const failing = (timer: LastWins): TuningMeans => ({
    startTimer: (gpu) => {
      const { measure, destroy } = timer.means.startTimer!(gpu);
      const failingMeasure: typeof measure = (trial) => {
        if (timer.trials === 1) throw new DeviceError("the device was lost");
        return measure(trial);
      };
      return { measure: failingMeasure, destroy };
    },
  });
  assert.equal((await kept(failing, Infinity)).after, 1);
});

Deno.test("a signal stops tuning, choices made so far are cached, and leaving early frees the device", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const timer = new LastWins();
    const graphs = [tunableConvolution(64), tunableConvolution()];
    const tuning = await openTuning(gpu, "on", directory, timer.means);
    const controller = new AbortController();
    for await (const { finished } of tuning.prepare(() => graphs, { signal: controller.signal })) {
      if (!finished) controller.abort();
      else assert.equal(finished.keptIn, undefined, "the signal came before the first trial");
    }
    assert.equal(timer.trials, 0);
    let told = 0;
    for await (const _ of tuning.prepare(() => graphs)) if (++told === 2) break;
    assert.ok(timer.trials > 0);
    assert.equal(timer.started, timer.destroyed);
  });
});
