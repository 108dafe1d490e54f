import assert from "node:assert/strict";
import { accumulate } from "../../kernels/accumulate.ts";
import { adamw } from "../../kernels/adamw.ts";
import { gradNormScratchBytes } from "../../kernels/grad_norm.ts";
import { addGradients } from "../../lib/train/device/host_sum.ts";
import { LogRecordLayout } from "../../kernels/records/layouts.ts";
import { decodeLog } from "../../kernels/records/training.ts";
import { assertClose } from "../support/close.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { decodeHealth, gradNorm } from "../support/grad_norm.ts";
import { AdamWReference, normReference } from "../reference/adamw.ts";
import { stepWords } from "../support/step.ts";

const options = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 };

function flatBuffers(elements: number) {
  const parameters = Float32Array.from({ length: elements }, (_, i) => Math.sin(i * 0.7));
  return {
    parameters,
    first_moment: new Float32Array(elements),
    second_moment: new Float32Array(elements),
    ema: parameters.slice(),
    health: new Uint32Array(4),
    train_log: new Uint32Array(LogRecordLayout.bytes / 4),
    partials: new Uint32Array(gradNormScratchBytes(elements) / 4),
  };
}

function optimizerLaunches(
  buffers: ReturnType<typeof flatBuffers>,
  gradients: Float32Array,
  step_state: Uint32Array,
  { maxNorm = 1, sticky = true } = {},
) {
  const { health, train_log, partials, ...flat } = buffers;
  const elements = gradients.length;
  return [
    ...gradNorm<HostArray>({ elements, maxNorm, sticky }, {
      step_state,
      gradients,
      partials,
      health,
      train_log,
    }),
    ...adamw<HostArray>({ elements, ...options }, { step_state, health, gradients, ...flat }),
  ];
}

function schedule(t: number) {
  const learningRate = 1e-2 * Math.min(1, t / 5);
  const emaDecay = Math.min(0.99, (1 + t) / (10 + t));
  return {
    learningRate,
    emaDecay,
    biasCorrection1: 1 - options.beta1 ** t,
    biasCorrection2: 1 - options.beta2 ** t,
  };
}

for (const maxNorm of [0, 1]) {
  Deno.test(`ten adamw steps with warm-up and EMA match reference: elements=1000 clip=${maxNorm}`, async () => {
    const gpu = await testGpu();
    const elements = 1000;
    const buffers = flatBuffers(elements);
    // The last three are padding: parameter and gradient zero.
    buffers.parameters.fill(0, elements - 3);
    buffers.ema.fill(0, elements - 3);
    const reference = new AdamWReference(buffers.parameters, { ...options, maxNorm });
    for (let t = 1; t <= 10; t++) {
      // Norms on both sides of the clip, magnitudes over six decades.
      const size = t % 2 ? 0.01 : 1;
      const gradients = Float32Array.from(
        { length: elements },
        (_, i) => size * Math.cos(i * 1.3 + t) * 10 ** (-(i % 7)),
      );
      gradients.fill(0, elements - 3);
      const step = schedule(t);
      await runOnArrays(gpu, optimizerLaunches(buffers, gradients, stepWords(step), { maxNorm }));
      const norm = reference.step(gradients, step.learningRate, step.emaDecay);
      const health = decodeHealth(buffers.health.slice().buffer);
      assertClose([health.gradientNorm], [norm], { absolute: 0, relative: 1e-6 }, "norm");
      assert.equal(health.clipScale < 1, maxNorm > 0 && norm > maxNorm);
      assert.equal(health.nonFinite, false);
    }
    // Ten float32 updates of at most 1e-2 on values up to 1: a few roundings of 6e-8 each.
    assertClose(buffers.parameters, reference.parameters, { absolute: 1e-6 }, "parameters");
    assertClose(buffers.first_moment, reference.first, { absolute: 0, relative: 1e-6 }, "first_moment");
    assertClose(buffers.second_moment, reference.second, { absolute: 0, relative: 1e-6 }, "second_moment");
    assertClose(buffers.ema, reference.ema, { absolute: 1e-6 }, "ema");
    for (const flat of [buffers.parameters, buffers.ema, buffers.first_moment, buffers.second_moment]) {
      assert.ok(flat.subarray(elements - 3).every((value) => value === 0), "padding stays zero");
    }
  });
}

const nonFinite = {
  NaN: 0x7fc00000,
  "negative NaN": 0xffc00000,
  "signalling NaN": 0x7f800001,
  Infinity: 0x7f800000,
  "-Infinity": 0xff800000,
};

for (const [name, bits] of Object.entries(nonFinite)) {
  Deno.test(`${name} in any one gradient raises the flag and adamw writes nothing: elements=9216`, async () => {
    const gpu = await testGpu();
    const elements = 9216;
    // First, last, inside; the unrolled loop's four loads and its remainder.
    for (const at of [0, elements - 1, 1234, 4, 257, 770, 1026, 8200]) {
      const buffers = flatBuffers(elements);
      buffers.first_moment.fill(0.5);
      const before = structuredClone(buffers);
      const gradients = new Float32Array(elements).fill(1e-3);
      new Uint32Array(gradients.buffer)[at] = bits;
      await runOnArrays(gpu, optimizerLaunches(buffers, gradients, stepWords({ ...schedule(1), step: 41 })));
      const health = decodeHealth(buffers.health.slice().buffer);
      assert.equal(health.nonFinite, true, `position ${at}`);
      assert.equal(health.firstBadStep, 41);
      assert.equal(decodeLog(buffers.train_log.slice().buffer)[0].nonFinite, true);
      for (const key of ["parameters", "first_moment", "second_moment", "ema"] as const) {
        assert.deepEqual(new Uint32Array(buffers[key].buffer), new Uint32Array(before[key].buffer), key);
      }
    }
  });
}

Deno.test("a loss that is not finite and a norm that overflows raise the flag too", async () => {
  const gpu = await testGpu();
  const gradients = new Float32Array(64).fill(1e-3);
  const loss = flatBuffers(64);
  new Float32Array(loss.train_log.buffer)[0] = Infinity;
  await runOnArrays(gpu, optimizerLaunches(loss, gradients, stepWords(schedule(1))));
  assert.equal(decodeHealth(loss.health.slice().buffer).nonFinite, true);

  const overflow = flatBuffers(64);
  await runOnArrays(gpu, optimizerLaunches(overflow, gradients.fill(1e25), stepWords(schedule(1))));
  assert.equal(decodeHealth(overflow.health.slice().buffer).nonFinite, true);
  assert.deepEqual(overflow.parameters, flatBuffers(64).parameters);
});

Deno.test("after a bad step nothing is updated any more, or with sticky off only that step is skipped", async () => {
  const gpu = await testGpu();
  for (const sticky of [true, false]) {
    const buffers = flatBuffers(64);
    const bad = new Float32Array(64).fill(NaN);
    const good = new Float32Array(64).fill(0.1);
    for (const [step, gradients] of [bad, bad, good].entries()) {
      const state = stepWords({ ...schedule(step + 1), step: 10 + step });
      await runOnArrays(gpu, optimizerLaunches(buffers, gradients, state, { sticky }));
      const health = decodeHealth(buffers.health.slice().buffer);
      const held = sticky || gradients === bad;
      assert.equal(health.nonFinite, held);
      assert.equal(health.firstBadStep, held ? (sticky ? 10 : 10 + step) : undefined);
      assert.equal(buffers.parameters[0] === flatBuffers(64).parameters[0], held);
      assert.equal(decodeLog(buffers.train_log.slice().buffer)[0].nonFinite, gradients === bad);
    }
  }
});

for (const elements of [4, 252, 70_000, 4_300_000]) {
  Deno.test(`grad_norm matches reference, same bits every time: elements=${elements}`, async () => {
    const gpu = await testGpu();
    const gradients = Float32Array.from({ length: elements }, (_, i) => Math.sin(i * 0.37) * 10 ** -(i % 5));
    const bits: number[] = [];
    for (let repeat = 0; repeat < 2; repeat++) {
      const { partials, health, train_log } = flatBuffers(elements);
      const buffers = { step_state: stepWords(), gradients, partials, health, train_log };
      await runOnArrays(gpu, gradNorm<HostArray>({ elements, maxNorm: 0, sticky: true }, buffers));
      bits.push(health[0]);
      const { gradientNorm, clipScale } = decodeHealth(health.slice().buffer);
      assertClose([gradientNorm], [normReference(gradients)], { absolute: 0, relative: 1e-6 }, "norm");
      assert.equal(clipScale, 1);
      assert.equal(decodeLog(train_log.slice().buffer)[0].gradientNorm, gradientNorm);
    }
    assert.equal(bits[0], bits[1]);
  });
}

Deno.test("accumulate starts from the first micro-batch and adds the next: elements=300", async () => {
  const gpu = await testGpu();
  const first = Float32Array.from({ length: 300 }, (_, i) => i);
  const second = first.map((value) => value / 8);
  const sum = new Float32Array(300).fill(NaN);
  await runOnArrays(gpu, [
    ...accumulate<HostArray>(300, false, { addend: first, sum }),
    ...accumulate<HostArray>(300, true, { addend: second, sum }),
  ]);
  assert.deepEqual(sum, first.map((value, i) => value + second[i]));
});

Deno.test("accumulate takes subnormal numbers for 0, as the host does: elements=8", async () => {
  const smallest = 2 ** -126;
  const first = Float32Array.of(
    smallest,
    smallest,
    smallest / 2,
    -smallest / 4,
    1,
    0,
    -smallest,
    3 * smallest,
  );
  const second = Float32Array.of(
    -smallest / 2,
    -smallest,
    smallest / 2,
    1,
    -1,
    1e-45,
    1.5 * smallest,
    -smallest,
  );
  const sum = new Float32Array(8);
  await runOnArrays(await testGpu(), [
    ...accumulate<HostArray>(8, false, { addend: first, sum }),
    ...accumulate<HostArray>(8, true, { addend: second, sum }),
  ]);
  assert.deepEqual([...sum], [smallest, 0, 0, 1, 0, 0, 0, 2 * smallest]);
  addGradients(first, second);
  assert.deepEqual(first, sum);
});
