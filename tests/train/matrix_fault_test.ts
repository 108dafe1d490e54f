/** Runs and models on a GPU whose matrix units fail their check. */
import assert from "node:assert/strict";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import { loadLatestCheckpoint } from "../../lib/files/checkpoint.ts";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { matrixGpu } from "../support/matrix_driver.ts";
import { PIPELINE } from "../support/server/pipelines.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { ofType, run } from "../support/train/micro.ts";

/** A GPU whose matrix units fail their check. */
const failingGpu = () => matrixGpu(() => "no WGSL", true);

const FAULT = /the matrix units of Matrix Card .*fail a check: kernel conv2d_forward_half_matrix/;

Deno.test("a run on a GPU whose matrix units fail their check is in float32, with one warning for it and its model", async () => {
  await inTemporaryDirectory(async (out) => {
    const gpu = await failingGpu();
    const events = await run({ out, gpu, steps: 2 });
    assert.equal(ofType(events, "start")[0].settings.precision, "float32");
    const warnings = ofType(events, "warning").map(({ message }) => message);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], FAULT);
    assert.equal((await loadLatestCheckpoint(out)).step, 2);
    const model = await DDPM.load(out, { gpu, onWarning: assert.fail });
    assert.equal(model.precision, "float32");
    await model.close();
  });
});

Deno.test("a model on a GPU whose matrix units fail their check is in float32, with one warning", async () => {
  const warnings: string[] = [];
  const model = await DDPM.load(PIPELINE, {
    gpu: await failingGpu(),
    onWarning: (message) => warnings.push(message),
  });
  assert.equal(model.precision, "float32");
  assert.equal(warnings.filter((message) => FAULT.test(message)).length, 1);
  await model.close();
});

Deno.test("mixed precision on matrix units that fail their check is refused with the fault, on resume too", async () => {
  await inTemporaryDirectory(async (out) => {
    const refused = (kind: typeof ConfigError | typeof CheckpointError) => (error: Error) => {
      assert.match(error.message, FAULT);
      return error instanceof kind;
    };
    await assert.rejects(run({ precision: "mixed", gpu: await failingGpu() }), refused(ConfigError));
    await run({ precision: "mixed", out, steps: 1 });
    await assert.rejects(
      run({ out, resume: true, steps: 2, gpu: await failingGpu() }),
      refused(CheckpointError),
    );
    await assert.rejects(
      DDPM.load(out, { gpu: await failingGpu(), precision: "mixed", onWarning() {} }),
      refused(ConfigError),
    );
  });
});

Deno.test("matrix units are not checked for float32", async () => {
  await inTemporaryDirectory(async (out) => {
    const gpu = await failingGpu();
    const told = async (options: Partial<TrainOptions>) =>
      ofType(await run({ out, gpu, ...options }), "warning");
    assert.deepEqual(await told({ precision: "float32", steps: 1 }), []);
    assert.deepEqual(await told({ resume: true, steps: 2 }), []);
    await (await DDPM.load(out, { gpu, precision: "float32", onWarning: assert.fail })).close();
    assert.ok(gpu.adapter.matrices);
  });
});
