/** Choosing kernels for a device: tried once, remembered, left alone where it is off. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { choose, type KernelTarget } from "../../kernels/target.ts";
import { ConfigError, DeviceError } from "../../lib/errors.ts";
import { type Gpu, openGpu } from "../../lib/gpu/device.ts";
import { ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { compileGraph, kernelTarget, lowerContext } from "../../lib/graph/compile.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { lower } from "../../lib/graph/lower.ts";
import { conv2d } from "../../lib/graph/ops.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
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
          return Promise.resolve(new Map([...trial.keys()].map((name, i) => [name, 1e-3 / (i + 1)])));
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
  return await Array.fromAsync(tuning.prepare(() => graphs, { signal }));
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

/** A GPU, or a software adapter, that can only be described. */
async function toyGpu(software = false): Promise<Gpu> {
  const { adapter, device, limits } = await testGpu();
  return { adapter: { ...adapter, software }, device, limits } as unknown as Gpu;
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

Deno.test("pipelines of the fastest variants are not compiled again", async () => {
  const gpu = await openGpu();
  const tuning = await open(gpu, "on", undefined, {});
  const g = convolution();
  await prepared(tuning, [g]);
  const tuned = gpu.pipelines.size;
  assert.ok(tuned > 0);
  const scope = new ResourceScope(gpu, "test");
  const bound = new Map(
    [...new Set(g.nodes.flatMap((node) => [...Object.values(node.in), ...Object.values(node.out)]))]
      .filter((tensor): tensor is Tensor => tensor !== undefined)
      .map((tensor) => [tensor, scope.buffer(tensor.bytes, "test")]),
  );
  const compiled = compileGraph(gpu, g, { bound, what: "test", target: tuning.target });
  const program = await buildProgram(gpu, compiled.launches.flat());
  assert.equal(gpu.pipelines.size, tuned);
  program.destroy();
  compiled.destroy();
  scope.destroy();
  gpu.close();
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
    const toy = await toyGpu(software);
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

Deno.test("auto: ten seconds at the first start, two at later ones, and more before a long run", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await toyGpu();
    const graphs = Array.from({ length: 24 }, (_, i) => convolution(32 + 4 * i));
    // A trial takes half a second.
    const start = async (runs?: number) => {
      const timer = new LastWins();
      const means = { ...timer.means, now: () => 500 * timer.trials };
      const tuning = await open(gpu, "auto", directory, means);
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
  const graphs = [16, 32, 48, 64, 80].map(convolution);
  const kept = async (end: (timer: LastWins) => TuningMeans, tries: number) =>
    await inTemporaryDirectory(async (directory) => {
      const gpu = await testGpu();
      const timer = new LastWins();
      const tuning = await open(gpu, "on", directory, { now: () => 1000 * timer.trials, ...end(timer) });
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
    const graphs = [convolution(64), convolution()];
    const tuning = await open(gpu, "on", directory, timer.means);
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
