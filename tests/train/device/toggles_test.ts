/** Toggles of Dawn that drop its checks change no bit of a training; its kernels are those for software adapters. */
import assert from "node:assert/strict";
import { STREAM } from "../../../kernels/records/step_state.ts";
import { objectiveTables } from "../../../lib/diffusion/objective.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { type BackendOptions, DAWN_TOGGLES } from "../../../lib/gpu/backend.ts";
import { openGpu } from "../../../lib/gpu/open.ts";
import { readBack } from "../../../lib/gpu/readback.ts";
import { permutation } from "../../../lib/random.ts";
import { ResidentDataset } from "../../../lib/train/device/resident.ts";
import { TrainingStep } from "../../../lib/train/device/step.ts";
import { initializeWeights } from "../../../lib/train/weight_transfer.ts";
import { digest, microNetwork, patternImages } from "../../support/train/micro.ts";

const config = microNetwork({
  ...{ sampleSize: 6, blockOutChannels: [6], normNumGroups: 2, dropout: 0.1 },
  ...{ downBlockTypes: ["DownBlock2D"], upBlockTypes: ["UpBlock2D"] },
});

/** Digests of weights, gradients and log after two steps. */
async function bitsOf(options: BackendOptions): Promise<string[]> {
  const gpu = await openGpu(options);
  const data = patternImages(8, 2, 6);
  const resident = ResidentDataset.upload(gpu, data, permutation(data.count, 1, 1));
  const step = await TrainingStep.build(
    gpu,
    {
      ...{ config, batch: 3, microBatches: 1, labelDropout: 0, flip: true, clip: 1, weightDecay: 0.1 },
      ...{ beta1: 0.9, beta2: 0.999, eps: 1e-8, stopAtNonFinite: true },
    },
    objectiveTables(new NoiseSchedule()),
    resident,
  );
  initializeWeights(gpu, step, 3);
  resident.setOrder(Uint32Array.from({ length: data.count }, (_, i) => i));
  for (const number of [0, 1]) {
    step.update({
      ...{ step: number, seedLo: 9, seedHi: 0, stream: STREAM.training, position: 3 * number, count: 3 },
      ...{ logSlot: number, accumulate: 0, learningRate: 1e-3 },
      ...{ biasCorrection1: 0.1, biasCorrection2: 0.001, emaDecay: 0.5 },
    });
  }
  const read = await readBack(gpu, [step.weights.parameters, step.weights.ema, step.gradients, step.log]);
  step.destroy();
  resident.destroy();
  gpu.close();
  return read.map((bytes) => digest(new Uint8Array(bytes)));
}

Deno.test("a training on Dawn has the same bits with its checks and without", async () => {
  const checked = await bitsOf({ backend: "dawn", toggles: [] });
  assert.deepEqual(await bitsOf({ backend: "dawn", toggles: DAWN_TOGGLES }), checked);
});
