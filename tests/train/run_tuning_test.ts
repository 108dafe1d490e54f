/** A run computes with the kernels that it was started with, whatever is found out meanwhile. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";
import { kernelTarget, lowerContext } from "../../lib/graph/compile.ts";
import { lower } from "../../lib/graph/lower.ts";
import { recordForward } from "../../lib/model/network.ts";
import { loadLatestCheckpoint } from "../../lib/files/checkpoint.ts";
import { planRun } from "../../lib/train/run_plan.ts";
import { graphRuns, RUN_TUNING, runGraphs } from "../../lib/train/run_tuning.ts";
import { trainingGraph } from "../../lib/train/device/step_graph.ts";
import { tuningFile, writeRecord } from "../../lib/tuning/tuning_file.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory, treeOf } from "../support/train/directories.ts";
import { microNetwork, microOptions, ofType, run, stateOf } from "../support/train/micro.ts";

/** Wide enough for algorithms to choose among. */
const SETTINGS: Partial<TrainOptions> = {
  model: microNetwork({ blockOutChannels: [16, 16] }),
  ...{ epochs: 2, logEvery: 1, tune: "on" },
};

/** Keeps, for all that the run asks, the candidate that `pick` takes. */
async function keep(
  directory: string,
  pick: (candidates: readonly string[]) => string,
): Promise<Map<string, string>> {
  const gpu = await testGpu();
  const { model, batch } = microOptions(SETTINGS) as {
    model: ReturnType<typeof microNetwork>;
    batch: number;
  };
  const config = { ...model, numClassEmbeds: 3 };
  const choices = new Map<string, string>();
  const choose = (key: string, candidates: readonly string[]) => {
    choices.set(key, pick(candidates));
    return pick(candidates);
  };
  // The other algorithms ask questions of their own.
  for (const answer of [choose, (_: string, candidates: readonly string[]) => candidates[0]]) {
    const both = (
      key: string,
      candidates: readonly string[],
    ) => (choose(key, candidates), answer(key, candidates));
    for (const g of [trainingGraph({ config, batch }), recordForward(config, batch).g]) {
      const context = lowerContext(g, { ...kernelTarget(gpu), choose: both });
      for (const node of g.nodes) lower(context, node);
    }
  }
  const { path, identity, driver } = tuningFile(gpu, directory);
  await writeRecord(path, { identity, driver, choices });
  return choices;
}

const first = (candidates: readonly string[]) => candidates[0];
const last = (candidates: readonly string[]) => candidates.at(-1)!;

Deno.test("resumed after the cache has changed, or without one, a run comes to the same bits", async () => {
  await inTemporaryDirectory(async (directory) => {
    const at = (name: string) => join(directory, name);
    const tuningDirectory = at("tuning");
    const whole = async (name: string) => {
      const events = await run({ ...SETTINGS, out: at(name), tuningDirectory });
      assert.deepEqual(ofType(events, "tuning"), [], "everything is known");
      return await stateOf(at(name));
    };
    await keep(tuningDirectory, first);
    const byFirst = await whole("first");
    const interrupted = ["changed", "off", "gone"];
    for (const name of interrupted) {
      await run(
        { ...SETTINGS, out: at(name), tuningDirectory },
        (event) => event.type === "step" && event.step === 3,
      );
    }
    await keep(tuningDirectory, last);
    assert.notDeepEqual(await whole("last"), byFirst, "the choice can be told from the bits");
    await run({ out: at("changed"), resume: true, tune: "on", tuningDirectory });
    await run({ out: at("off"), resume: true, tune: "off", tuningDirectory });
    await Deno.remove(tuningDirectory, { recursive: true });
    await run({ out: at("gone"), resume: true, tune: "on", tuningDirectory });
    for (const name of interrupted) assert.deepEqual(await stateOf(at(name)), byFirst, name);
    await assert.rejects(Deno.stat(tuningDirectory), Deno.errors.NotFound, "a resumed run tries nothing");
  });
});

Deno.test("a run that was started by rules is resumed by rules", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [whole, resumed, tuningDirectory] = ["whole", "resumed", "tuning"].map((name) =>
      join(directory, name)
    );
    await keep(tuningDirectory, last);
    const before = await treeOf(tuningDirectory);
    const settings: Partial<TrainOptions> = { ...SETTINGS, tune: "off", tuningDirectory };
    await run({ ...settings, out: whole });
    await run({ ...settings, out: resumed }, (event) => event.type === "step" && event.step === 3);
    await run({ out: resumed, resume: true, tune: "on", tuningDirectory });
    assert.deepEqual(await stateOf(resumed), await stateOf(whole));
    for (const out of [whole, resumed]) {
      await assert.rejects(Deno.stat(join(out, RUN_TUNING)), Deno.errors.NotFound);
    }
    assert.deepEqual(await treeOf(tuningDirectory), before);
  });
});

Deno.test("a start tells of what it tries, and keeps it for all runs and for its own", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [out, tuningDirectory] = ["run", "tuning"].map((name) => join(directory, name));
    const options = { ...SETTINGS, out, tuningDirectory, steps: 1 };
    const events = await run(options);
    const told = ofType(events, "tuning");
    assert.ok(told.length > 1);
    assert.deepEqual(
      events.slice(1, 1 + told.length),
      told,
      "they come before the start, and after the data",
    );
    const { done, total, finished } = told.at(-1)!;
    assert.equal(done, total);
    const kept = JSON.parse(await Deno.readTextFile(finished!.keptIn!));
    const own = JSON.parse(await Deno.readTextFile(join(out, RUN_TUNING)));
    assert.deepEqual([own.format, own.identity, own.driver], [kept.format, kept.identity, kept.driver]);
    for (const [key, choice] of Object.entries(own.choices)) assert.equal(choice, kept.choices[key]);
    assert.ok(Object.keys(own.choices).length > 0);
    assert.equal((await loadLatestCheckpoint(out)).step, 1);
  });
});

Deno.test("files of a run that ended before its first checkpoint neither hinder nor affect another", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [out, tuningDirectory] = ["run", "tuning"].map((name) => join(directory, name));
    await keep(tuningDirectory, last);
    await run({ ...SETTINGS, out, tuningDirectory }, (event) => event.type === "start");
    assert.ok((await Deno.stat(join(out, RUN_TUNING))).isFile);
    await run({ ...SETTINGS, out, tune: "off", steps: 1 });
    await assert.rejects(Deno.stat(join(out, RUN_TUNING)), Deno.errors.NotFound);
  });
});

Deno.test("on an adapter that the run was not started on, what it had is not gone by", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [out, tuningDirectory] = ["run", "tuning"].map((name) => join(directory, name));
    await keep(tuningDirectory, last);
    await run({ ...SETTINGS, out, tuningDirectory, steps: 1 });
    const path = join(out, RUN_TUNING);
    const there = JSON.parse(await Deno.readTextFile(path));
    await Deno.writeTextFile(
      path,
      JSON.stringify({ ...there, identity: { ...there.identity, adapter: "another" } }),
    );
    await keep(tuningDirectory, first);
    await run({ out, resume: true, tune: "on", tuningDirectory, steps: 2 });
    const { identity, choices } = JSON.parse(await Deno.readTextFile(path));
    assert.equal(identity.adapter, there.identity.adapter);
    assert.deepEqual(Object.keys(choices).length > 0, true);
    assert.notDeepEqual(choices, there.choices);
  });
});

Deno.test("a damaged record of a run's own choices is a warning", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [out, tuningDirectory] = ["run", "tuning"].map((name) => join(directory, name));
    await keep(tuningDirectory, first);
    await run({ ...SETTINGS, out, tuningDirectory, steps: 1 });
    await Deno.writeTextFile(join(out, RUN_TUNING), "{");
    const events = await run({ out, resume: true, steps: 2 });
    assert.match(ofType(events, "warning")[0].message, /tuning\.json is damaged/);
  });
});

Deno.test("a mode that there is not is refused by name", async () => {
  await assert.rejects(
    run({ ...SETTINGS, tune: "always" as "on" }),
    (error) => error instanceof ConfigError && /^tune: expected auto, on or off/.test(error.message),
  );
});

Deno.test("a signal while kernels are tried ends the run before its first step", async () => {
  await inTemporaryDirectory(async (out) => {
    const events = await run({ ...SETTINGS, out }, (event) => event.type === "tuning");
    assert.deepEqual(ofType(events, "step"), []);
    assert.equal(ofType(events, "end")[0].interrupted, true);
    assert.equal(ofType(events, "tuning").length, 2, "one before the first trial, and the end");
  });
});

Deno.test("tuning weighs a run's graphs by how often they are left to run", () => {
  const planned = (options: Partial<TrainOptions>) =>
    planRun(microOptions({ epochs: 10, ...options }), SOFTWARE);
  // 36 images to train on and 4 to validate on.
  const plan = planned({ batch: 3, accumulate: 2, sampleEvery: 5, sampleSteps: 7 });
  assert.deepEqual(graphRuns(plan), [10 * 6 * 2, 10 * 2, 2 * 7]);
  assert.equal(runGraphs(plan).length, 3);
  plan.progress.step = 8 * 6;
  assert.deepEqual(graphRuns(plan), [2 * 6 * 2, 2 * 2, 7]);
  // By default, grids take a twentieth of the time, with passes of a third of a step's time.
  const [steps, , passes] = graphRuns(planned({ batch: 3, sampleEvery: null, sampleSteps: 1000 }));
  assert.ok(Math.abs(passes! / 3 - steps! / 20) < 1e-9);
});
