import assert from "node:assert/strict";
import { posterior } from "../../lib/diffusion/posterior.ts";
import { planSampling } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";

Deno.test("posterior is Bayes' rule on the forward process, also across skipped timesteps", () => {
  for (const [cumprod, previousCumprod] of [[0.9998, 0.9999], [0.5, 0.6], [0.01, 0.9], [1e-5, 0.02]]) {
    // q(x_s | x_0) and q(x_t | x_s) as Gaussians in x_s: precisions add, means are weighted by precision.
    const alpha = cumprod / previousCumprod;
    const prior = 1 / (1 - previousCumprod);
    const likelihood = alpha / (1 - alpha);
    const { variance, meanX0, meanXt } = posterior(cumprod, previousCumprod);
    const expected = [
      1 / (prior + likelihood),
      Math.sqrt(previousCumprod) * prior / (prior + likelihood),
      likelihood / Math.sqrt(alpha) / (prior + likelihood),
    ];
    for (const [i, value] of [variance, meanX0, meanXt].entries()) {
      assert.ok(
        Math.abs(value - expected[i]) <= 1e-11 * expected[i],
        `${i} at ${cumprod}, ${previousCumprod}`,
      );
    }
  }
});

Deno.test("the schedule's tables have the posterior's bits, and both samplers its numbers", () => {
  const schedule = new NoiseSchedule({ varianceType: "fixed_small" });
  const { alphasCumprod, posteriorMeanX0, posteriorMeanXt, posteriorVariance } = schedule;
  for (const [t, cumprod] of alphasCumprod.entries()) {
    const expected = posterior(cumprod, t === 0 ? 1 : alphasCumprod[t - 1]);
    assert.deepEqual(
      { variance: posteriorVariance[t], meanX0: posteriorMeanX0[t], meanXt: posteriorMeanXt[t] },
      expected,
    );
  }
  for (const steps of [7, 1000]) {
    const ddim = planSampling("ddim", schedule, { steps, eta: 1 });
    for (const [k, step] of planSampling("ddpm", schedule, { steps }).slice(0, -1).entries()) {
      const { variance, meanX0, meanXt } = posterior(
        alphasCumprod[step.timestep],
        alphasCumprod[step.next.timestep],
      );
      const expected = [meanX0, meanXt, Math.sqrt(variance)];
      for (const [i, value] of [step.nextFromX0, step.nextFromX, step.sigma].entries()) {
        assert.ok(Math.abs(value - expected[i]) < 1e-12, `${value}, expected ${expected[i]}`);
      }
      assert.equal(ddim[k].sigma, step.sigma);
    }
  }
});
