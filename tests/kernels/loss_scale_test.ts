/** The loss scale between the gradient norm and the optimizer, against the optimizer without one. */
import assert from "node:assert/strict";
import { adamw } from "../../kernels/adamw.ts";
import { gradNormScratchBytes } from "../../kernels/grad_norm.ts";
import {
  decodeLossScale,
  encodeLossScale,
  type LossScale,
  updateLossScale,
} from "../../kernels/loss_scale.ts";
import { HealthLayout, LogRecordLayout } from "../../kernels/records/layouts.ts";
import { decodeLog } from "../../kernels/records/training.ts";
import { assertClose } from "../support/close.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { decodeHealth, gradNorm } from "../support/grad_norm.ts";
import { stepWords } from "../support/step.ts";

const ELEMENTS = 64;
const ADAM = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 };
const MAX_NORM = 1;

/** All buffers of an optimizer, as they are before the first step. */
function optimizer(scale: Partial<LossScale> = {}) {
  const start = { scale: 1024, goodSteps: 0, skippedSteps: 0, biasCorrection1: 0, biasCorrection2: 0 };
  const parameters = Float32Array.from({ length: ELEMENTS }, (_, i) => Math.sin(i));
  return {
    parameters,
    first_moment: new Float32Array(ELEMENTS),
    second_moment: new Float32Array(ELEMENTS),
    ema: parameters.slice(),
    health: new Uint32Array(HealthLayout.bytes / 4),
    train_log: new Uint32Array(LogRecordLayout.bytes / 4),
    partials: new Uint32Array(gradNormScratchBytes(ELEMENTS) / 4),
    loss_scale: new Uint32Array(encodeLossScale({ ...start, ...scale })),
  };
}

type Buffers = ReturnType<typeof optimizer>;

interface Options {
  growthInterval?: number;
  hopelessSteps?: number;
  /** Leaves the loss scale out. */
  plain?: boolean;
}

/** One step; what the step state says of bias corrections is what the CPU would say of step `t`. */
async function step(buffers: Buffers, gradients: Float32Array, t: number, options: Options = {}) {
  const { health, train_log, partials, loss_scale, ...flat } = buffers;
  const { beta1, beta2 } = ADAM;
  const { growthInterval, hopelessSteps = 0, plain = false } = options;
  const step_state = stepWords({
    step: t - 1,
    learningRate: 1e-2,
    emaDecay: 0.5,
    biasCorrection1: 1 - beta1 ** t,
    biasCorrection2: 1 - beta2 ** t,
  });
  const scaling = { maxNorm: MAX_NORM, beta1, beta2, growthInterval, hopelessSteps };
  await runOnArrays(await testGpu(), [
    ...gradNorm<HostArray>({ elements: ELEMENTS, maxNorm: MAX_NORM, sticky: false }, {
      step_state,
      gradients,
      partials,
      health,
      train_log,
    }),
    ...plain ? [] : updateLossScale<HostArray>(scaling, { step_state, health, train_log, loss_scale }),
    ...adamw<HostArray>({ elements: ELEMENTS, ...ADAM }, { step_state, health, gradients, ...flat }),
  ]);
  return {
    health: decodeHealth(health.slice().buffer),
    log: decodeLog(train_log.slice().buffer)[0],
    scale: decodeLossScale(loss_scale.slice().buffer),
  };
}

/** Gradients of step `t`, with norms on both sides of the largest. */
function gradientsOf(t: number): Float32Array<ArrayBuffer> {
  const size = t % 2 ? 0.01 : 1;
  return Float32Array.from({ length: ELEMENTS }, (_, i) => size * Math.cos(i * 1.3 + t));
}

const scaled = (gradients: Float32Array, scale: number) => gradients.map((g) => scale * g);
const overflowing = () => new Float32Array(ELEMENTS).fill(1).fill(Infinity, 5, 6);

/** The bits of everything the optimizer changes. */
function bits({ parameters, first_moment, second_moment, ema }: Buffers): Uint32Array[] {
  return [parameters, first_moment, second_moment, ema].map(({ buffer }) => new Uint32Array(buffer.slice(0)));
}

Deno.test("steps with scaled gradients are those without, whatever the scale, norm and clipping included", async () => {
  const [plain, wide] = [optimizer(), optimizer({ scale: 2 ** 16 })];
  for (let t = 1; t <= 6; t++) {
    const expected = await step(plain, gradientsOf(t), t, { plain: true });
    const got = await step(wide, scaled(gradientsOf(t), 2 ** 16), t);
    assert.equal(got.log.lossScale, 2 ** 16);
    assert.equal(got.log.gradientNorm, expected.log.gradientNorm);
    assert.equal(got.health.gradientNorm, expected.health.gradientNorm);
    assert.equal(got.health.clipScale, expected.health.clipScale / 2 ** 16);
    assert.equal(expected.log.lossScale, 0);
  }
  // The bias corrections come from the device, one rounding a step, and so the moments alone have the same bits.
  assert.deepEqual(bits(wide).slice(1, 3), bits(plain).slice(1, 3));
  assertClose(wide.parameters, plain.parameters, { absolute: 1e-6 }, "parameters");
  assertClose(wide.ema, plain.ema, { absolute: 1e-6 }, "ema");
});

Deno.test("a step that overflows changes no bit, halves the scale, and Adam does not count it", async () => {
  const [plain, other] = [optimizer(), optimizer({ scale: 1024 })];
  await step(plain, gradientsOf(1), 1, { plain: true });
  await step(plain, gradientsOf(2), 2, { plain: true });

  await step(other, scaled(gradientsOf(1), 1024), 1);
  const before = bits(other);
  const { log, health, scale } = await step(other, overflowing(), 2);
  assert.deepEqual(bits(other), before);
  assert.deepEqual([log.nonFinite, log.hopeless, log.lossScale, health.nonFinite], [true, false, 1024, true]);
  assert.deepEqual([scale.scale, scale.goodSteps, scale.skippedSteps], [512, 0, 1]);

  const next = await step(other, scaled(gradientsOf(2), 512), 3);
  assert.deepEqual([next.log.nonFinite, next.log.lossScale], [false, 512]);
  assert.deepEqual(bits(other).slice(1, 3), bits(plain).slice(1, 3));
  assertClose(other.parameters, plain.parameters, { absolute: 1e-6 }, "parameters");
});

Deno.test("the scale doubles after so many good steps in a row, up to 2^24", async () => {
  const buffers = optimizer({ scale: 2 ** 22 });
  const scales: number[] = [];
  for (let t = 1; t <= 9; t++) {
    const gradients = t === 2 ? overflowing() : new Float32Array(ELEMENTS).fill(1);
    scales.push((await step(buffers, gradients, t, { growthInterval: 2 })).scale.scale);
  }
  // Step 1 is good, step 2 overflows and starts the count anew.
  assert.deepEqual(scales.map(Math.log2), [22, 21, 21, 22, 22, 23, 23, 24, 24]);
  assert.equal(
    (await step(buffers, new Float32Array(ELEMENTS).fill(1), 10, { growthInterval: 2 })).scale.scale,
    2 ** 24,
  );
});

Deno.test("the scale stays 1 at least, and so many bad steps in a row there end all updates", async () => {
  const buffers = optimizer({ scale: 2 });
  const before = bits(buffers);
  const options = { hopelessSteps: 3 };
  const good = new Float32Array(ELEMENTS).fill(1e-3);
  const seen: [number, boolean][] = [];
  for (let t = 1; t <= 3; t++) {
    const { scale, log } = await step(buffers, overflowing(), t, options);
    seen.push([scale.scale, log.hopeless]);
  }
  assert.deepEqual(seen, [[1, false], [1, false], [1, false]]);
  // A good step in between starts the count anew.
  assert.equal((await step(buffers, good, 4, options)).log.nonFinite, false);
  assert.notDeepEqual(bits(buffers), before);
  const last = bits(buffers);
  const hopeless: boolean[] = [];
  for (let t = 5; t <= 7; t++) hopeless.push((await step(buffers, overflowing(), t, options)).log.hopeless);
  assert.deepEqual(hopeless, [false, false, true]);
  const { log, health } = await step(buffers, good, 8, options);
  assert.deepEqual([log.nonFinite, log.hopeless, health.nonFinite], [true, true, true]);
  assert.deepEqual(bits(buffers), last);
});

Deno.test("without such a limit a good step counts after any number of bad ones", async () => {
  const buffers = optimizer({ scale: 1 });
  for (let t = 1; t <= 12; t++) assert.equal((await step(buffers, overflowing(), t)).log.hopeless, false);
  const { log, scale } = await step(buffers, new Float32Array(ELEMENTS).fill(1e-3), 13);
  assert.deepEqual([log.nonFinite, scale.skippedSteps], [false, 12]);
});

Deno.test("bias corrections stay right over 1500 steps", async () => {
  const step_state = stepWords();
  const { health, train_log, loss_scale } = optimizer();
  const { beta1, beta2 } = ADAM;
  const launches = updateLossScale<HostArray>({ maxNorm: 0, beta1, beta2, hopelessSteps: 0 }, {
    step_state,
    health,
    train_log,
    loss_scale,
  });
  for (let t = 500; t <= 1500; t += 500) {
    await runOnArrays(await testGpu(), Array.from({ length: 500 }, () => launches).flat());
    const { biasCorrection1, biasCorrection2 } = decodeLossScale(loss_scale.slice().buffer);
    const expected = [1 - beta1 ** t, 1 - beta2 ** t];
    // A rounding of 2^-25 a step is forgotten at the rate 1 - beta: 2^-25 / (1 - beta) of a constant sign would be 3e-5.
    assertClose([biasCorrection1, biasCorrection2], expected, { absolute: 3e-5 }, `t = ${t}`);
    const floats = new Float32Array(step_state.buffer);
    assert.deepEqual([...floats.subarray(9, 11)], [biasCorrection1, biasCorrection2]);
  }
});
