import assert from "node:assert/strict";
import { DeviceError } from "../../lib/errors.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { unetConfigFromJson } from "../../lib/model/config.ts";
import { forwardPass, unetParameters } from "../../lib/model/network.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { goldenScaled } from "../golden/formula.ts";
import { assertDigest, fromDevice, goldenWeights, loadNetworkCase, toDevice } from "../golden/tensors.ts";
import { readFloats, testGpu } from "../support/gpu.ts";

Deno.test("a forward pass gives diffusers' output from weights in one flat buffer", async () => {
  const golden = loadNetworkCase("unaligned");
  const { shape, timesteps, labels } = golden.inputs;
  const gpu = await testGpu();
  const before = { used: gpu.memory.used, live: gpu.memory.live };
  const config = unetConfigFromJson(golden.config);
  const table = unetParameters(config);
  const scope = new ResourceScope(gpu, "test");
  const weights = scope.buffer(4 * table.elements, "weights");
  const forward = scope.own(forwardPass(gpu, config, shape[0], weights.buffer, "test"));
  const program = scope.own(await buildProgram(gpu, forward.launches));
  const { queue } = gpu.device;
  queue.writeBuffer(weights.buffer, 0, goldenWeights(golden.case, table));
  const x = goldenScaled(golden.case, "x", shape.reduce((a, b) => a * b), 2);
  queue.writeBuffer(forward.inputs.x.buffer, 0, toDevice(x, shape) as Float32Array<ArrayBuffer>);
  queue.writeBuffer(forward.inputs.timesteps.buffer, 0, new Float32Array(timesteps));
  queue.writeBuffer(forward.inputs.labels!.buffer, 0, new Uint32Array(labels!));
  program.run();
  const output = fromDevice(await readFloats(gpu, forward.prediction), shape);
  assertDigest(output, golden.output, 4 * golden.float32.output * golden.output.max, "output");

  assert.ok(gpu.memory.used - before.used >= forward.bytes + 4 * table.elements);
  scope.destroy();
  assert.deepEqual({ used: gpu.memory.used, live: gpu.memory.live }, before);
});

Deno.test("a network without classes takes no labels", async () => {
  const gpu = await testGpu();
  const config = presetConfig("tiny", 0);
  const scope = new ResourceScope(gpu, "test");
  const weights = scope.buffer(4 * unetParameters(config).elements, "weights");
  const forward = scope.own(forwardPass(gpu, config, 1, weights.buffer, "test"));
  assert.equal(forward.inputs.labels, undefined);
  scope.destroy();
});

Deno.test("a forward pass over the budget is refused with what it is for, and nothing stays allocated", async () => {
  const config = presetConfig("tiny", 10);
  for (const budget of [2 ** 20, 2 ** 16]) {
    const gpu = await openGpu({ memoryBudget: budget });
    const weights = new ResourceScope(gpu, "test").buffer(16, "not enough weights, but nothing runs");
    assert.throws(
      () => forwardPass(gpu, config, 64, weights.buffer, "sampling 64 images at once"),
      (error) =>
        error instanceof DeviceError &&
        /^sampling 64 images at once.* needs [\d.]+ MiB of device memory, [\d.]+ MiB are in use and [\d.]+ MiB/
          .test(error.message),
    );
    assert.equal(gpu.memory.live, 1);
    gpu.close();
  }
});
