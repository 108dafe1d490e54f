/** Settings of the training task that are checked before the data is fetched. */
import assert from "node:assert/strict";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import { checkSettings } from "../../tasks/train.ts";
import { matrixGpu } from "../support/matrix_driver.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { run } from "../support/train/micro.ts";

/** A GPU whose matrix units fail their check. */
const failingGpu = () => matrixGpu(() => "no WGSL", true);

const refused = (kind: typeof ConfigError | typeof CheckpointError) => (error: Error) => {
  assert.match(error.message, /the matrix units of Matrix Card fail a check/);
  return error instanceof kind;
};

Deno.test("mixed precision on matrix units that fail their check is refused before the data is read", async () => {
  const warnings: string[] = [];
  const check = async (precision: "mixed" | undefined, resumed?: string) =>
    await checkSettings(await failingGpu(), { precision }, { resumed }, (message) => warnings.push(message));
  await assert.rejects(check("mixed"), refused(ConfigError));
  assert.equal(warnings.length, 1);
  await check(undefined);
  await inTemporaryDirectory(async (out) => {
    await run({ precision: "mixed", out, steps: 1 });
    await assert.rejects(check(undefined, out), refused(CheckpointError));
    await assert.rejects(check("mixed", out), refused(ConfigError));
  });
});

Deno.test("matrix units are not checked where float32 is asked for", async () => {
  const gpu = await failingGpu();
  await checkSettings(gpu, { precision: "float32" }, {}, assert.fail);
  assert.ok(gpu.adapter.matrices);
});
