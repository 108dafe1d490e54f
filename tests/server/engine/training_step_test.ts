import assert from "node:assert/strict";
import { join } from "node:path";
import { loadWithStep } from "../../../server/engine/training_step.ts";
import { saveCheckpoint } from "../../../lib/files/checkpoint.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";
import { exampleCheckpoint } from "../../support/train/example_checkpoint.ts";
import { copyDirectory, PIPELINE } from "../../support/server/pipelines.ts";

/** A model that was loaded from a directory. */
function model(path: string, onClose: () => void = () => {}) {
  const close = () => Promise.resolve(onClose());
  return { path, close };
}

/** Writes the checkpoint of a step as a save does that has not come to the run's model yet. */
async function saveHalf(run: string, step: number): Promise<void> {
  const name = `checkpoints/step-${String(step).padStart(8, "0")}`;
  await saveCheckpoint(`${run}-other`, exampleCheckpoint(step));
  await copyDirectory(join(`${run}-other`, name), join(run, name));
}

Deno.test("the step is that of the weights that were loaded, not of the newest checkpoint there is", () =>
  inTemporaryDirectory(async (directory) => {
    const run = join(directory, "run");
    for (const step of [100, 250]) await saveCheckpoint(run, exampleCheckpoint(step));
    const load = () => Promise.resolve(model(run));
    assert.equal((await loadWithStep(run, load)).step, 250);
    await saveHalf(run, 300);
    assert.equal((await loadWithStep(run, load)).step, 250);
    await saveCheckpoint(run, exampleCheckpoint(300));
    assert.equal((await loadWithStep(run, load)).step, 300);
  }));

Deno.test("a model that is replaced while it is loaded is loaded again", () =>
  inTemporaryDirectory(async (directory) => {
    const run = join(directory, "run");
    await saveCheckpoint(run, exampleCheckpoint(100));
    let [loads, closed, step] = [0, 0, 100];
    const load = async (replacements: number) => {
      if (++loads <= replacements) await saveCheckpoint(run, exampleCheckpoint(++step));
      return model(run, () => closed++);
    };
    assert.equal((await loadWithStep(run, () => load(1))).step, 101);
    assert.deepEqual([loads, closed], [2, 1]);

    loads = closed = 0;
    assert.equal((await loadWithStep(run, () => load(99))).step, undefined, "it is served all the same");
    assert.deepEqual([loads, closed], [3, 2]);
  }));

Deno.test("a checkpoint in the place of the run's model has its own step; what is no run has none", () =>
  inTemporaryDirectory(async (directory) => {
    const run = join(directory, "run");
    for (const step of [100, 250]) await saveCheckpoint(run, exampleCheckpoint(step));
    const older = join(run, "checkpoints/step-00000100");
    await Deno.remove(join(run, "unet"), { recursive: true });
    assert.equal((await loadWithStep(run, () => Promise.resolve(model(older)))).step, 100);
    assert.equal((await loadWithStep(PIPELINE, () => Promise.resolve(model(PIPELINE)))).step, undefined);
  }));
