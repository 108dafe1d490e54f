import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { posterior } from "../../lib/diffusion/posterior.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ShapeError } from "../../lib/errors.ts";
import { byteNats } from "../../lib/evaluation/discretized_gaussian.ts";
import { type Denoiser, evaluateLikelihood } from "../../lib/evaluation/likelihood.ts";
import { type LikelihoodPlan, planLikelihood } from "../../lib/evaluation/likelihood_plan.ts";
import {
  emptyLikelihoodSums,
  likelihoodOf,
  type LikelihoodSums,
} from "../../lib/evaluation/likelihood_result.ts";
import { divergenceTerm } from "../../lib/evaluation/variational_bound.ts";
import type { UNetConfig } from "../../lib/model/config.ts";
import type { NoisedImage } from "../../lib/sampling/denoising_pass.ts";
import { assertClose } from "../support/close.ts";
import { syntheticImages, untrainedPass } from "../support/evaluation.ts";
import { testGpu } from "../support/gpu.ts";
import { CLASS_NETWORK } from "../support/networks.ts";

async function evaluate(denoiser: Denoiser, plan: LikelihoodPlan, sums = emptyLikelihoodSums(plan)) {
  for await (const _ of evaluateLikelihood(denoiser, plan, sums)) {
    // Progress is of no interest here.
  }
  return sums;
}

const schedule = new NoiseSchedule({ numTrainTimesteps: 12, betaStart: 0.001, betaEnd: 0.6 });

for (const varianceType of ["fixed_large", "learned_range"] as const) {
  Deno.test(`with all terms, the bound is the sum of the divergences between posterior and reverse process: ${varianceType}`, async () => {
    const gpu = await testGpu();
    const data = syntheticImages(CLASS_NETWORK, 3);
    const large = new NoiseSchedule({ ...schedule.config, varianceType });
    const learned = varianceType === "learned_range";
    const config = learned ? { ...CLASS_NETWORK, outChannels: 6 } : CLASS_NETWORK;
    const { pass, destroy } = await untrainedPass(gpu, config, large, 2);
    const plan = planLikelihood(large, data);
    const sums = await evaluate(pass, plan);

    // Estimates of x_0 at every level, read back; the rest in float64 by equations 5 to 8 and 13 of Ho et al. 2020
    const size = 8 * 4 * 3;
    const expected: number[] = [];
    for (let image = 0; image < data.count; image++) {
      const bytes = data.images.read([image]);
      pass.load(bytes, [data.labels[image]]);
      let nats = 0;
      for (let t = 0; t < 12; t++) {
        const smallest = large.posteriorVariance[Math.max(t, 1)];
        const logRatio = learned ? Math.log(large.betas[t] / smallest) : 0;
        await pass.run([{ image, index: t, level: large.level(t), logRatio }], plan.seed);
        const estimate = await pass.readEstimates();
        const ratios = await pass.readLogRatios();
        if (learned) assert.ok(new Set(ratios).size > size / 2, "the variance is each pixel's own");
        const [cumprod, previous] = [large.alphasCumprod[t], large.alphasCumprod[t - 1] ?? 1];
        const { variance, meanX0 } = posterior(cumprod, previous);
        bytes.forEach((byte, i) => {
          const x0 = 2 * byte / 255 - 1;
          const reverse = learned ? smallest * Math.exp(ratios[i]) : t === 0 ? smallest : large.betas[t];
          if (t === 0) nats += byteNats(byte, estimate[i], Math.sqrt(reverse));
          else {
            const apart = (meanX0 * (x0 - estimate[i])) ** 2;
            nats += 0.5 * (Math.log(reverse / variance) + (variance + apart) / reverse - 1);
          }
          if (t === 11) nats += 0.5 * (cumprod * x0 ** 2 + 1 - cumprod - 1 - Math.log(1 - cumprod));
        });
      }
      await pass.readErrors();
      expected.push(nats / size / Math.LN2);
    }
    assertClose(sums.bits, expected, { absolute: 0, relative: 1e-5 }, "bits per dimension");
    const { bitsPerDimension, standardError, prior, decoder, terms } = likelihoodOf(plan, sums);
    const parts = prior + decoder + terms.reduce((sum, { bits }) => sum + bits, 0);
    assertClose([parts], [bitsPerDimension], { absolute: 0, relative: 1e-12 }, "sum of the terms");
    const deviations = expected.map((bits) => (bits - bitsPerDimension) ** 2);
    const error = Math.sqrt(deviations.reduce((a, b) => a + b) / 2 / 3);
    assertClose([standardError!], [error], { absolute: 0, relative: 1e-3 }, "standard error");
    destroy();
  });
}

Deno.test("a learned variance that the network does not predict is refused", async () => {
  const learned = new NoiseSchedule({ ...schedule.config, varianceType: "learned_range" });
  const plan = planLikelihood(learned, syntheticImages(PIXEL, 1));
  await assert.rejects(
    evaluate(madeUpDenoiser(PIXEL, 1), plan),
    new ShapeError("a learned variance needs 6 output channels, the model has 3"),
  );
});

Deno.test("results have the same bits in any batch, and when an evaluation is interrupted and continued", async () => {
  const gpu = await testGpu();
  const data = syntheticImages(CLASS_NETWORK, 7);
  const plan = planLikelihood(schedule, data, { images: 6, terms: 3, seed: 4 });
  const { pass, destroy } = await untrainedPass(gpu, CLASS_NETWORK, schedule, 3);
  const whole = await evaluate(pass, plan);
  assert.equal(whole.bits.length, 6);
  destroy();

  const { pass: pairs, destroy: destroyPairs } = await untrainedPass(gpu, CLASS_NETWORK, schedule, 2);
  const interruption = new AbortController();
  const partial = emptyLikelihoodSums(plan);
  const seen: number[] = [];
  for await (
    const { images, evaluations, total } of evaluateLikelihood(pairs, plan, partial, {
      signal: interruption.signal,
    })
  ) {
    seen.push(evaluations);
    assert.equal(total, 24);
    if (images === 2 && evaluations > 10) interruption.abort();
  }
  assert.deepEqual(
    seen,
    [2, 4, 6, 8, 10, 12],
    "in the second batch the signal comes after two of four passes",
  );
  assert.equal(partial.bits.length, 2);
  const stored: LikelihoodSums = JSON.parse(JSON.stringify(partial));
  assert.deepEqual(await evaluate(pairs, plan, stored), whole);
  destroyPairs();
});

/** Errors of a made-up network that depend on level and image alone. */
function madeUpErrors({ image, index, level }: NoisedImage) {
  const spread = 1 + 0.3 * Math.sin(image) + 0.2 * Math.sin(3 * index + image);
  const x0Error = spread * 0.02 / (1 + 0.02 * (level.signal / level.noise) ** 2);
  return { targetError: x0Error / 4, x0Error, boundError: x0Error, varianceTerm: 0 };
}

function madeUpDenoiser(config: UNetConfig, rows: number): Denoiser {
  const errors: ReturnType<typeof madeUpErrors>[] = [];
  let loaded = new Uint8Array();
  return {
    config,
    rows,
    full: false,
    load: (bytes) => void (loaded = Uint8Array.from(bytes)),
    run: (noised) => Promise.resolve(void errors.push(...noised.map(madeUpErrors))),
    readErrors: () => Promise.resolve(errors.splice(0)),
    readLogRatios: () => Promise.resolve(new Float32Array(loaded.length)),
    readEstimates: () => Promise.resolve(Float32Array.from(loaded, (byte) => 2 * byte / 255 - 1)),
  };
}

const PIXEL: UNetConfig = { ...CLASS_NETWORK, sampleSize: 1 };

for (const process of [new NoiseSchedule(), new EdmProcess()]) {
  Deno.test(`a few terms estimate the sum of all without bias: ${process.constructor.name}`, async () => {
    const data = syntheticImages(PIXEL, 2000);
    const plan = planLikelihood(process, data, { terms: 8 });
    const sums = await evaluate(madeUpDenoiser(PIXEL, 128), plan);
    const { bitsPerDimension, standardError, decoder, prior } = likelihoodOf(plan, sums);
    const { levels, variance } = plan;
    const exact = Array.from(
      { length: data.count },
      (_, image) =>
        levels.slice(1).reduce((nats, level, i) => {
          const { errorWeight, constant } = divergenceTerm(levels[i], level, variance);
          return nats + errorWeight * madeUpErrors({ image, index: i + 1, level }).x0Error + constant;
        }, 0) / Math.LN2,
    );
    const mean = exact.reduce((a, b) => a + b) / data.count;
    const estimated = bitsPerDimension - decoder - prior;
    const error = Math.abs(estimated - mean);
    assert.ok(error < 3 * standardError!, `${estimated} against ${mean}, standard error ${standardError}`);
    assert.ok(standardError! < 0.02 * mean, `standard error ${standardError} of ${mean}`);
    // Each image's own estimate differs from its exact sum: timesteps were drawn.
    assert.ok(sums.bits.some((bits, image) => Math.abs(bits - exact[image]) > 0.01 * mean));
  });
}

Deno.test("the denoising loss is by timestep, and of target, noise and x_0", async () => {
  const process = new NoiseSchedule();
  const data = syntheticImages(PIXEL, 4);
  const plan = planLikelihood(process, data);
  const { losses } = likelihoodOf(plan, await evaluate(madeUpDenoiser(PIXEL, 4), plan));
  assert.equal(losses.length, 20);
  assert.deepEqual(losses.map(({ timesteps }) => timesteps[0]), Array.from({ length: 20 }, (_, b) => 50 * b));
  for (const { timesteps: [first, last], target, noise, x0 } of losses) {
    let [sum, count] = [0, 0];
    for (let index = first; index <= last; index++) {
      for (let image = 0; image < 4; image++, count++) {
        sum += madeUpErrors({ image, index, level: process.level(index) }).x0Error;
      }
    }
    assertClose([x0], [sum / count], { absolute: 0, relative: 1e-12 }, "x_0");
    assertClose([target], [sum / count / 4], { absolute: 0, relative: 1e-12 }, "target");
    assertClose([noise], [target], { absolute: 0, relative: 1e-12 }, "noise, which is the target");
  }
});

Deno.test("a small sample of a bucket counts each timestep for its stratum", async () => {
  const data = syntheticImages(PIXEL, 3000);
  const process = new NoiseSchedule();
  const plan = planLikelihood(process, data, { terms: 20 });
  const few = likelihoodOf(plan, await evaluate(madeUpDenoiser(PIXEL, 500), plan)).losses;
  const every = planLikelihood(process, syntheticImages(PIXEL, 40));
  const all = likelihoodOf(every, await evaluate(madeUpDenoiser(PIXEL, 40), every)).losses;
  for (const [b, { x0 }] of all.entries()) {
    assertClose([few[b].x0], [x0], { absolute: 0, relative: 0.1 }, `bucket ${b}`);
  }
});

Deno.test("an evaluation names the sizes of model and data if they differ", async () => {
  const data = syntheticImages(CLASS_NETWORK, 1);
  const plan = planLikelihood(schedule, data);
  await assert.rejects(
    evaluate(madeUpDenoiser(PIXEL, 1), plan),
    new ShapeError("the model is for images of 1x1x3, the data has 4x8x3"),
  );
});

Deno.test("options of an evaluation are checked", () => {
  const data = syntheticImages(PIXEL, 5);
  assert.throws(() => planLikelihood(schedule, data, { images: 6 }), /images: .* 1 to 5, got 6/);
  assert.throws(() => planLikelihood(schedule, data, { terms: 12 }), /terms: .* 1 to 11, got 12/);
  assert.throws(() => planLikelihood(schedule, data, { seed: -1 }), /seed: .* got -1/);
});
