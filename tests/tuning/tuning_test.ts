/** Choosing kernels for a device: tried once, remembered, left alone where it is off. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { choose, type KernelTarget } from "../../kernels/target.ts";
import { ConfigError } from "../../lib/errors.ts";
import { type Gpu, openGpu } from "../../lib/gpu/device.ts";
import { kernelTarget, lowerContext } from "../../lib/graph/compile.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { lower } from "../../lib/graph/lower.ts";
import { conv2d } from "../../lib/graph/ops.ts";
import { type TuneMode, Tuning, type TuningMeans, type TuningProgress } from "../../lib/tuning/tuning.ts";
import { tuningFile } from "../../lib/tuning/tuning_file.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory, treeOf } from "../support/train/directories.ts";

const fail = (message: string) => assert.fail(message);

/** A convolution, which can be computed in several ways. */
function convolution(channels = 32): Graph {
  const g = new Graph();
  const x = g.input("x", [2, 8, 8, channels]);
  const weight = g.parameter("weight", "conv", [channels, channels, 3, 3], { kind: "ones" });
  const bias = g.parameter("bias", "vector", [channels], { kind: "zeros" });
  conv2d(g, x, { weight, bias }, { kernel: 3, stride: 1, padding: 1 });
  return g;
}

/** What lowering graphs asks, and the answers of a target. */
function answers(
  target: KernelTarget,
  ...graphs: Graph[]
): Map<string, { candidates: readonly string[]; choice: string }> {
  const asked = new Map<string, { candidates: readonly string[]; choice: string }>();
  for (const g of graphs) {
    const recording: KernelTarget = {
      ...target,
      choose(key, candidates) {
        const choice = choose(target, key, candidates);
        asked.set(key, { candidates, choice });
        return choice;
      },
    };
    for (const node of g.nodes) lower(lowerContext(g, recording), node);
  }
  return asked;
}

/** Finds the last candidate the fastest, and counts what it was asked. */
class LastWins {
  trials = 0;
  started = 0;
  destroyed = 0;
  readonly means: TuningMeans = {
    startTimer: () => {
      this.started++;
      return {
        measure: (trial) => {
          this.trials++;
          return Promise.resolve(new Map([...trial.keys()].map((name, i) => [name, 1 / (i + 1)])));
        },
        destroy: () => void this.destroyed++,
      };
    },
  };
}

/** Prepares for graphs, and gives all that was told on the way. */
async function prepared(
  tuning: Tuning,
  graphs: readonly Graph[],
  signal?: AbortSignal,
): Promise<TuningProgress[]> {
  return await Array.fromAsync(tuning.prepare(() => graphs, signal));
}

function open(
  gpu: Gpu,
  tune: TuneMode,
  tuningDirectory?: string,
  means?: TuningMeans,
  onWarning = fail,
): Promise<Tuning> {
  return Tuning.open(gpu, { tune, tuningDirectory }, onWarning, means);
}

Deno.test("on the device: choices are candidates, are cached, and are not timed twice", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const before = [gpu.memory.live, gpu.memory.used];
    const g = convolution();
    const tuning = await open(gpu, "on", directory);
    const told = await prepared(tuning, [g]);
    const end = told.at(-1)!;
    assert.ok(end.total > 0, "there is something to choose");
    assert.deepEqual([end.done, end.adapter], [end.total, gpu.adapter.name]);
    assert.equal(end.finished!.keptIn, tuningFile(gpu, directory).path);
    const asked = answers(tuning.target, g);
    assert.ok(asked.size > 0);
    for (const { candidates, choice } of asked.values()) assert.ok(candidates.includes(choice));
    const { choices } = JSON.parse(await Deno.readTextFile(end.finished!.keptIn!));
    for (const [key, { choice }] of asked) assert.equal(choices[key], choice);
    assert.equal(Object.keys(choices).length, end.total);

    const timer = new LastWins();
    const again = await open(gpu, "on", directory, timer.means);
    assert.deepEqual(await prepared(again, [convolution()]), []);
    assert.equal(timer.started, 0);
    assert.deepEqual(answers(again.target, g), asked);
    assert.deepEqual([gpu.memory.live, gpu.memory.used], before);
  });
});

Deno.test("kernels use the fastest variants, and new choices are tuned beside known ones", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const timer = new LastWins();
    const tuning = await open(gpu, "on", directory, timer.means);
    await prepared(tuning, [convolution()]);
    for (const { candidates, choice } of answers(tuning.target, convolution()).values()) {
      assert.equal(choice, candidates.at(-1));
    }
    const first = timer.trials;
    await prepared(tuning, [convolution(), convolution(64)]);
    assert.ok(timer.trials > first);
    assert.equal(timer.started, timer.destroyed);
    const { choices } = JSON.parse(await Deno.readTextFile(tuningFile(gpu, directory).path));
    assert.equal(Object.keys(choices).length, timer.trials);
    assert.deepEqual(new Set(tuning.used.keys()), new Set(answers(tuning.target, convolution()).keys()));
  });
});

Deno.test("off, nothing is recorded, timed, read or written, and defaults are used", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const { path } = tuningFile(gpu, directory);
    await Deno.writeTextFile(path, "damaged, which would be a warning");
    const timer = new LastWins();
    const tuning = await open(gpu, "off", directory, timer.means);
    assert.equal(tuning.active, false);
    assert.deepEqual(await Array.fromAsync(tuning.prepare(() => assert.fail())), []);
    assert.deepEqual(answers(tuning.target, convolution()), answers(kernelTarget(gpu), convolution()));
    assert.deepEqual(await treeOf(directory), {
      [path.slice(directory.length + 1)]: "damaged, which would be a warning",
    });
    assert.equal(timer.started, 0);
  });
});

Deno.test("auto is on for a GPU and off for a software adapter", async () => {
  const gpu = await testGpu();
  for (const software of [true, false]) {
    // All that is asked of it here is what it is like.
    const toy = {
      adapter: { ...gpu.adapter, software },
      device: gpu.device,
      limits: gpu.limits,
    } as unknown as Gpu;
    assert.equal((await open(toy, "auto")).active, !software);
    assert.equal((await open(toy, "on")).active, true);
    assert.equal((await open(toy, "off")).active, false);
  }
  const wrong = "always" as TuneMode;
  await assert.rejects(
    open(gpu, wrong),
    (error) => error instanceof ConfigError && /^tune: .*auto, on or off/.test(error.message),
  );
});

Deno.test("a damaged file is a warning, and everything is tuned again", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const { path } = tuningFile(gpu, directory);
    await Deno.writeTextFile(path, "{");
    const warnings: string[] = [];
    const timer = new LastWins();
    const tuning = await open(
      gpu,
      "on",
      directory,
      timer.means,
      (message) => warnings.push(message) as never,
    );
    assert.match(warnings.join(), /is damaged/);
    await prepared(tuning, [convolution()]);
    assert.ok(timer.trials > 0);
    await open(gpu, "on", directory, timer.means);
  });
});

Deno.test("after the time limit the rest uses defaults, is not cached, and is tuned the next time", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const timer = new LastWins();
    // A second for each trial.
    const means = { ...timer.means, limit: 1, now: () => 1000 * timer.trials };
    const tuning = await open(gpu, "on", directory, means);
    const graphs = [convolution(64), convolution()];
    const told = await prepared(tuning, graphs);
    const { done, total, finished } = told.at(-1)!;
    assert.deepEqual([done, finished!.seconds, timer.trials], [1, 1, 1]);
    assert.ok(total > 1);
    const byRule = [...answers(tuning.target, ...graphs).values()].filter(({ candidates, choice }) =>
      choice === candidates[0]
    );
    assert.ok(byRule.length > 0);
    const next = new LastWins();
    const rest = await prepared(await open(gpu, "on", directory, next.means), graphs);
    assert.deepEqual([rest.at(-1)!.total, next.trials], [total - 1, total - 1]);
  });
});

Deno.test("a signal stops tuning, choices made so far are cached, and leaving early frees the device", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const timer = new LastWins();
    const graphs = [convolution(64), convolution()];
    const tuning = await open(gpu, "on", directory, timer.means);
    const controller = new AbortController();
    for await (const { finished } of tuning.prepare(() => graphs, controller.signal)) {
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

Deno.test("without a directory, or if it cannot be written, choices live as long as the device", async () => {
  await inTemporaryDirectory(async (directory) => {
    const blocked = join(directory, "file");
    await Deno.writeTextFile(blocked, "");
    for (const place of [undefined, join(blocked, "below")]) {
      const gpu = await openGpu();
      const warnings: string[] = [];
      const warn = (message: string) => warnings.push(message) as never;
      const timer = new LastWins();
      const told = await prepared(await open(gpu, "on", place, timer.means, warn), [convolution()]);
      assert.equal(told.at(-1)!.finished!.keptIn, undefined);
      assert.equal(
        warnings.some((message) => /could not be cached/.test(message)),
        place !== undefined,
      );
      const { trials } = timer;
      assert.ok(trials > 0);
      assert.deepEqual(await prepared(await open(gpu, "on", place, timer.means, warn), [convolution()]), []);
      assert.equal(timer.trials, trials);
      gpu.close();
    }
  });
});

Deno.test("given choices are used without tuning; the rest uses defaults", async () => {
  const gpu = await testGpu();
  const [key, { candidates }] = [...answers(kernelTarget(gpu), convolution())][0];
  const last = candidates.at(-1)!;
  const tuning = Tuning.of(gpu, new Map([[key, last], ["another", "one"]]));
  assert.deepEqual(await prepared(tuning, [convolution()]), []);
  for (const [asked, { candidates, choice }] of answers(tuning.target, convolution())) {
    assert.equal(choice, asked === key ? last : candidates[0]);
  }
  assert.equal(tuning.used.get(key), last);
});
