import assert from "node:assert/strict";
import { buildTrainer } from "../../bench/training.ts";
import { buildSampler } from "../../bench/sampling.ts";
import { modelConfig } from "../../bench/models.ts";
import { ConfigError } from "../../lib/errors.ts";
import { Tuning } from "../../lib/tuning/tuning.ts";
import { matrixGpu } from "../support/matrix_driver.ts";

Deno.test("mixed precision is not measured on matrix units that fail their check", async () => {
  const refused = (error: Error) => {
    assert.match(
      error.message,
      /the matrix units of Matrix Card fail a check: kernel conv2d_forward_half_matrix/,
    );
    return error instanceof ConfigError;
  };
  const builders = [
    (gpu: Parameters<typeof buildTrainer>[0]) =>
      buildTrainer(gpu, modelConfig("floor"), 1, Tuning.of(gpu), "mixed"),
    (gpu: Parameters<typeof buildTrainer>[0]) =>
      buildSampler(gpu, modelConfig("floor"), { batch: 1, steps: 1 }, Tuning.of(gpu), "mixed"),
  ];
  for (const build of builders) await assert.rejects(build(await matrixGpu(() => "no WGSL", true)), refused);
});
