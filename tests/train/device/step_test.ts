/** One training step on the device: what accumulation and the division of the data set into chunks must not change. */
import assert from "node:assert/strict";
import { STREAM } from "../../../kernels/records/step_state.ts";
import { decodeLog } from "../../../kernels/records/training.ts";
import type { ImageDataset } from "../../../lib/data/dataset.ts";
import { objectiveTables } from "../../../lib/diffusion/objective.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { DeviceError } from "../../../lib/errors.ts";
import type { Gpu } from "../../../lib/gpu/device.ts";
import { readBack } from "../../../lib/gpu/readback.ts";
import type { UNetConfig } from "../../../lib/model/config.ts";
import { permutation } from "../../../lib/random.ts";
import { ResidentDataset } from "../../../lib/train/device/resident.ts";
import { initializeWeights } from "../../../lib/train/weight_transfer.ts";
import type { StepOptions } from "../../../lib/train/device/step_programs.ts";
import { addGradients } from "../../../lib/train/device/host_sum.ts";
import {
  evaluateTree,
  type MicroRange,
  microRange,
  nodesOf,
} from "../../../lib/train/device/summation_tree.ts";
import { TrainingStep } from "../../../lib/train/device/step.ts";
import { assertClose } from "../../support/close.ts";
import { onMatrices, testGpu, testTargets } from "../../support/gpu.ts";
import { digest, microNetwork, patternImages } from "../../support/train/micro.ts";

const config: UNetConfig = microNetwork({ numClassEmbeds: 3, dropout: 0.1 });
const tables = objectiveTables(new NoiseSchedule());

/** The device as it would be if kernels saw no more than so many bytes of a buffer, or buffers had no more. */
function withLimits(gpu: Gpu, bindingBytes: number, bufferBytes = gpu.limits.maxBufferSize): Gpu {
  const { adapter, memory, device, pipelines } = gpu;
  const changed = new Map<string | symbol, number>([
    ["maxStorageBufferBindingSize", bindingBytes],
    ["maxBufferSize", bufferBytes],
  ]);
  // The device's limits answer to nobody but the object they are on.
  const limits = new Proxy(gpu.limits, {
    get: (all, name) => changed.get(name) ?? Reflect.get(all, name, all),
  });
  return { adapter, memory, device, pipelines, limits } as unknown as Gpu;
}

async function withStep(
  data: ImageDataset,
  options: Partial<StepOptions>,
  body: (step: TrainingStep, resident: ResidentDataset) => Promise<void>,
  limit?: number,
  bindingLimit?: number,
): Promise<void> {
  const gpu = await testGpu();
  const images = permutation(data.count, 1, 1);
  const resident = ResidentDataset.upload(limit ? withLimits(gpu, limit) : gpu, data, images);
  const all = { config, batch: 4, microBatches: 1, labelDropout: 0.1, flip: true, clip: 0, weightDecay: 0 };
  const adam = { beta1: 0.9, beta2: 0.999, eps: 1e-8, stopAtNonFinite: true };
  const device = bindingLimit ? withLimits(gpu, bindingLimit) : gpu;
  const step = await TrainingStep.build(device, { ...all, ...adam, ...options }, tables, resident);
  initializeWeights(gpu, step, 3);
  resident.setOrder(Uint32Array.from({ length: data.count }, (_, i) => i));
  await body(step, resident);
  step.destroy();
  resident.destroy();
}

const state = (step: number, accumulate = false) => ({
  step,
  seedLo: 9,
  seedHi: 0,
  stream: STREAM.training,
  position: 4 * step,
  count: 4,
  logSlot: accumulate ? step - 1 : step,
  accumulate: accumulate ? 1 : 0,
  learningRate: 1e-3,
  biasCorrection1: 0.1,
  biasCorrection2: 0.001,
  emaDecay: 0.5,
});

/** Gradients of the last micro-batch, weights, and the log's first two records. */
async function results(step: TrainingStep) {
  const { weights } = step;
  const views = [step.log, step.gradients, weights.parameters, weights.ema];
  const [log, ...flat] = await readBack(await testGpu(), views);
  const [gradients, parameters, ema] = flat.map((bytes) => new Float32Array(bytes));
  return { gradients, parameters, ema, log: decodeLog(log).slice(0, 2) };
}

Deno.test("two accumulated micro-batches of 4 step along the mean of their gradients", async () => {
  const data = patternImages(8);
  const each: Float32Array[] = [];
  const losses: number[] = [];
  await withStep(data, {}, async (step) => {
    for (const k of [0, 1]) {
      step.accumulate(state(k));
      const { gradients, log } = await results(step);
      each.push(gradients);
      losses.push(log[k].lossSum);
    }
  });
  const mean = each[0].map((value, i) => (value + each[1][i]) / 2);
  const norm = Math.hypot(...mean);
  await withStep(data, { microBatches: 2 }, async (step) => {
    step.accumulate(state(0));
    assertClose(
      (await results(step)).gradients,
      each[0].map((g) => g / 2),
      { absolute: 0 },
      "half a gradient",
    );
    step.update(state(1, true));
    const { log: [record] } = await results(step);
    assert.equal(record.count, 8);
    assertClose([record.lossSum], [losses[0] + losses[1]], { absolute: 0, relative: 1e-6 }, "loss");
    assertClose([record.gradientNorm], [norm], { absolute: 0, relative: 1e-5 }, "norm");

    // After one step the first moment is a tenth of the gradient.
    const [moment] = await readBack(await testGpu(), [step.weights.firstMoment]);
    const expected = mean.map((value) => 0.1 * value);
    assertClose(new Float32Array(moment), expected, { absolute: 0, relative: 1e-5 }, "first moment");
  });
});

Deno.test("five micro-batches are added in a tree, with the same bits whoever adds which of them", async () => {
  const data = patternImages(20);
  const microBatches = 5;
  const gpu = await testGpu();
  const gradients: Float32Array[] = [];
  const sumsOf = async (range: MicroRange) => {
    let sums: Float32Array[] = [];
    await withStep(data, { microBatches, microRange: range }, async (step) => {
      for (let k = range.first; k < range.end; k++) {
        step.accumulate(state(k));
        gradients[k] = (await results(step)).gradients;
      }
      sums = (await readBack(gpu, step.sums)).map((bytes) => new Float32Array(bytes));
    });
    return sums;
  };
  const [whole] = await sumsOf({ first: 0, end: microBatches });
  const add = (left: Float32Array, right: Float32Array) => {
    const sum = left.slice();
    addGradients(sum, right);
    return sum;
  };
  const host = evaluateTree(
    microBatches,
    ({ level, index }) => level === 0 ? gradients[index] : undefined,
    add,
  );
  assert.deepEqual(host, whole);
  for (const ranks of [2, 3]) {
    const parts = new Map<string, Float32Array>();
    for (let rank = 0; rank < ranks; rank++) {
      const range = microRange(microBatches, ranks, rank);
      const sums = await sumsOf(range);
      nodesOf(range, microBatches).forEach(({ level, index }, i) => parts.set(`${level} ${index}`, sums[i]));
    }
    const joined = evaluateTree(microBatches, ({ level, index }) => parts.get(`${level} ${index}`), add);
    assert.deepEqual(joined, whole, `${ranks} ranks`);
  }
  const chain = gradients.slice(1).reduce(add, gradients[0]);
  assert.notDeepEqual(chain, whole, "the order makes a difference");
});

Deno.test("steps in mixed precision on matrix units have the same bits every time, and the losses of float32", async () => {
  const data = patternImages(16);
  const [target] = await testTargets();
  const steps = async (options: Partial<StepOptions>) => {
    let losses: number[] = [];
    let digests: string[] = [];
    await withStep(data, { ...options, clip: 1 }, async (step) => {
      for (let k = 0; k < 2; k++) step.update(state(k));
      const { gradients, parameters, ema } = await results(step);
      losses = (await step.readLog()).slice(0, 2).map(({ lossSum }) => lossSum);
      digests = [gradients, parameters, ema].map(digest);
    });
    return { losses, digests };
  };
  const mixed = { precision: "mixed", target: onMatrices(target) } as const;
  const [single, first, second] = [await steps({}), await steps(mixed), await steps(mixed)];
  assert.deepEqual(first, second);
  assertClose(first.losses, single.losses, { absolute: 0, relative: 2e-3 }, "losses");
});

Deno.test("a data set in several chunks trains and validates bit for bit as in one", async () => {
  const data = patternImages(23);
  const bytesPerImage = 192;
  const runs: unknown[] = [];
  for (
    const [limit, chunks] of [[undefined, 1], [5 * bytesPerImage + 100, 5], [bytesPerImage, 23]] as const
  ) {
    await withStep(data, {}, async (step, resident) => {
      assert.deepEqual(resident.chunks.length, chunks);
      assert.equal(resident.chunks.reduce((sum, { count }) => sum + count, 0), 23);
      for (let k = 0; k < 4; k++) step.update(state(k));
      step.validate({ ...state(5), count: 3, logSlot: 0, stream: STREAM.validation });
      const { gradients, parameters, ema, log } = await results(step);
      runs.push({ gradients: digest(gradients), parameters: digest(parameters), ema: digest(ema), log });
    }, limit);
  }
  assert.deepEqual(runs[1], runs[0]);
  assert.deepEqual(runs[2], runs[0]);
});

Deno.test("activations computed again give the same bits as kept ones, in less memory, with validation in between", async () => {
  const gpu = await testGpu();
  const data = patternImages(23);
  const attention = ["AttnDownBlock2D", "DownBlock2D"] as const;
  const network = microNetwork({ numClassEmbeds: 3, dropout: 0.1, downBlockTypes: attention });
  const runs: unknown[] = [];
  const bytes: number[] = [];
  for (const [checkpointActivations, validating] of [[false, false], [false, true], [true, true]]) {
    const before = gpu.memory.used;
    await withStep(data, { checkpointActivations, microBatches: 2, config: network }, async (step) => {
      bytes.push(gpu.memory.used - before);
      for (let k = 0; k < 4; k++) {
        if (k % 2 === 0) step.accumulate(state(k));
        else step.update(state(k, true));
        if (validating) step.validate({ ...state(5), count: 3, logSlot: 9, stream: STREAM.validation });
      }
      const { gradients, parameters, ema, log } = await results(step);
      assert.ok(gradients.some((value) => value !== 0));
      runs.push({ gradients: digest(gradients), parameters: digest(parameters), ema: digest(ema), log });
    });
  }
  assert.deepEqual(runs[1], runs[0]);
  assert.deepEqual(runs[2], runs[0]);
  assert.ok(bytes[2] < bytes[1], `${bytes[2]} bytes, ${bytes[1]} without`);
});

Deno.test("a data set that does not fit is refused and leaves nothing on the device", async () => {
  const gpu = await testGpu();
  const { live } = gpu.memory;
  const small = withLimits(gpu, 400, 400);
  // Chunks of two images fit into such buffers, 500 labels do not.
  const data = patternImages(500);
  assert.throws(() => ResidentDataset.upload(small, data, permutation(500, 1, 1)), (error: Error) => {
    assert.match(error.message, /^data set, labels needs a buffer/);
    return error instanceof DeviceError;
  });
  assert.equal(gpu.memory.live, live);
});

Deno.test("parameters larger than a binding step window by window as they do in one", async () => {
  const data = patternImages(8);
  const runs: Awaited<ReturnType<typeof results>>[] = [];
  const wide = microNetwork({ numClassEmbeds: 3, blockOutChannels: [16, 32] });
  // Larger than every activation, smaller than the flat buffers.
  for (const limit of [undefined, 80 * 1024]) {
    await withStep(
      data,
      { microBatches: 2, clip: 0.01, config: wide },
      async (step) => {
        const flat = 4 * step.table.elements;
        assert.ok(flat > 2 * 80 * 1024, `flat buffers of ${flat} bytes would fit two windows`);
        const windows = limit ? Math.ceil(flat / limit) : 1;
        const updates = step.programs.update.dispatches.filter(({ kernel }) =>
          kernel === "adamw.adamw"
        ).length;
        assert.equal(updates, windows);
        step.accumulate(state(0));
        step.update(state(1, true));
        runs.push(await results(step));
      },
      undefined,
      limit,
    );
  }
  // The norm's partial sums are cut differently, so the clipping factor may differ in its last bits.
  assertClose(
    [runs[1].log[0].gradientNorm],
    [runs[0].log[0].gradientNorm],
    { absolute: 0, relative: 1e-6 },
    "norm",
  );
  assertClose(
    runs[1].parameters,
    runs[0].parameters,
    { absolute: 1e-6 },
    "parameters",
  );
  assertClose(
    runs[1].ema,
    runs[0].ema,
    { absolute: 1e-6 },
    "EMA",
  );
});
