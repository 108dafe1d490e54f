/** Choosing kernels for a device: tried once, remembered, left alone where it is off. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { compileGraph, kernelTarget } from "../../lib/graph/compile.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { type TuneMode, Tuning } from "../../lib/tuning/tuning.ts";
import { tuningFile } from "../../lib/tuning/tuning_file.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory, treeOf } from "../support/train/directories.ts";
import { answers, LastWins, openTuning, prepareAll, toyGpu, tunableConvolution } from "../support/tuning.ts";

Deno.test("on the device: choices are candidates, are cached, and are not timed twice", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const before = [gpu.memory.live, gpu.memory.used];
    const g = tunableConvolution();
    const tuning = await openTuning(gpu, "on", directory);
    const told = await prepareAll(tuning, [g]);
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
    const again = await openTuning(gpu, "on", directory, timer.means);
    assert.deepEqual(await prepareAll(again, [tunableConvolution()]), []);
    assert.equal(timer.started, 0);
    assert.deepEqual(answers(again.target, g), asked);
    assert.deepEqual([gpu.memory.live, gpu.memory.used], before);
  });
});

Deno.test("pipelines of the fastest variants are not compiled again", async () => {
  const gpu = await openGpu();
  const tuning = await openTuning(gpu, "on", undefined, {});
  const g = tunableConvolution();
  await prepareAll(tuning, [g]);
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
    const tuning = await openTuning(gpu, "on", directory, timer.means);
    await prepareAll(tuning, [tunableConvolution()]);
    for (const { candidates, choice } of answers(tuning.target, tunableConvolution()).values()) {
      assert.equal(choice, candidates.at(-1));
    }
    const first = timer.trials;
    await prepareAll(tuning, [tunableConvolution(), tunableConvolution(64)]);
    assert.ok(timer.trials > first);
    assert.equal(timer.started, timer.destroyed);
    const { choices } = JSON.parse(await Deno.readTextFile(tuningFile(gpu, directory).path));
    assert.equal(Object.keys(choices).length, timer.trials);
    assert.deepEqual(
      new Set(tuning.used.keys()),
      new Set(answers(tuning.target, tunableConvolution()).keys()),
    );
  });
});

Deno.test("off, nothing is recorded, timed, read or written, and defaults are used", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const { path } = tuningFile(gpu, directory);
    await Deno.writeTextFile(path, "damaged, which would be a warning");
    const timer = new LastWins();
    const tuning = await openTuning(gpu, "off", directory, timer.means);
    assert.equal(tuning.active, false);
    assert.deepEqual(await Array.fromAsync(tuning.prepare(() => assert.fail())), []);
    assert.deepEqual(
      answers(tuning.target, tunableConvolution()),
      answers(kernelTarget(gpu), tunableConvolution()),
    );
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
    assert.equal((await openTuning(toy, "auto")).active, !software);
    assert.equal((await openTuning(toy, "on")).active, true);
    assert.equal((await openTuning(toy, "off")).active, false);
  }
  const wrong = "always" as TuneMode;
  await assert.rejects(
    openTuning(gpu, wrong),
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
    const tuning = await openTuning(
      gpu,
      "on",
      directory,
      timer.means,
      (message) => warnings.push(message) as never,
    );
    assert.match(warnings.join(), /is damaged/);
    await prepareAll(tuning, [tunableConvolution()]);
    assert.ok(timer.trials > 0);
    await openTuning(gpu, "on", directory, timer.means);
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
      const told = await prepareAll(await openTuning(gpu, "on", place, timer.means, warn), [
        tunableConvolution(),
      ]);
      assert.equal(told.at(-1)!.finished!.keptIn, undefined);
      assert.equal(
        warnings.some((message) => /could not be cached/.test(message)),
        place !== undefined,
      );
      const { trials } = timer;
      assert.ok(trials > 0);
      assert.deepEqual(
        await prepareAll(await openTuning(gpu, "on", place, timer.means, warn), [tunableConvolution()]),
        [],
      );
      assert.equal(timer.trials, trials);
      gpu.close();
    }
  });
});

Deno.test("given choices are used without tuning; the rest uses defaults", async () => {
  const gpu = await testGpu();
  const [key, { candidates }] = [...answers(kernelTarget(gpu), tunableConvolution())][0];
  const last = candidates.at(-1)!;
  const tuning = Tuning.of(gpu, new Map([[key, last], ["another", "one"]]));
  assert.deepEqual(await prepareAll(tuning, [tunableConvolution()]), []);
  for (const [asked, { candidates, choice }] of answers(tuning.target, tunableConvolution())) {
    assert.equal(choice, asked === key ? last : candidates[0]);
  }
  assert.equal(tuning.used.get(key), last);
});
