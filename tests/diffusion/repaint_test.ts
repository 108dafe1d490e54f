import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import type { ForwardProcess } from "../../lib/diffusion/forward_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { repaintOrder, repaintSteps, withJumps } from "../../lib/diffusion/repaint.ts";
import { markovSamplers, planSampling } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";

const processes: Readonly<Record<string, ForwardProcess>> = {
  epsilon: new NoiseSchedule({ clipSample: false }),
  "v with zero terminal SNR": new NoiseSchedule({ objective: "v", zeroTerminalSnr: true, clipSample: false }),
  flow: new RectifiedFlow({ clip: false }),
  edm: new EdmProcess({ clip: false }),
};

Deno.test("the steps of all passes are counted without taking them", () => {
  for (const steps of [1, 2, 7, 10, 30]) {
    for (const jump of [1, 3, 9, 10, 40]) {
      for (const resamplings of [1, 2, 5]) {
        const { length } = repaintOrder(steps, jump, resamplings);
        assert.equal(repaintSteps(steps, jump, resamplings), length, `${steps} ${jump} ${resamplings}`);
      }
    }
  }
});

for (const [name, process] of Object.entries(processes)) {
  Deno.test(`${name}: a step with a jump leads to the forward process's mean and variance`, () => {
    for (const sampler of markovSamplers) {
      // The larger variance is not that of the forward process for an image that is known.
      const variance = sampler === "ddpm" ? "fixed_small" : undefined;
      const plan = planSampling(sampler, process, { steps: 10, variance });
      const jumps = withJumps(plan, 3, 2);
      const raised = jumps.flatMap((step, k) => {
        const following = jumps[k + 1];
        return following && following.timestep >= step.timestep ? [{ step, following }] : [];
      });
      assert.equal(raised.length, 3);
      for (const { step, following } of raised) {
        assert.deepEqual(step.next, following.level);
        const { level, next } = step;
        // An image of zeros and a perfect network: x = noise eps, out = fromNoise eps, x_0 = 0
        const { fromX0, fromNoise } = process.target(level);
        const fromEps = step.nextFromX * level.noise + step.nextFromOut * fromNoise;
        assertNear(fromEps ** 2 + step.sigma ** 2, next.noise ** 2, `${sampler}: variance`);
        // An image of ones without noise: x = signal, out = fromX0
        const mean = step.nextFromX0 + step.nextFromX * level.signal + step.nextFromOut * fromX0;
        assertNear(mean, next.signal, `${sampler}: mean`);
      }
      assert.ok(
        jumps.every(({ initialNoise }, k) => (initialNoise > 0) === (k === 0)),
        "only the start is set to noise",
      );
    }
  });
}

Deno.test("steps that repeat are the same objects, so that plans of many passes stay small", () => {
  const plan = planSampling("ddim", new NoiseSchedule(), { steps: 200 });
  for (const jump of [1, 10]) {
    const jumps = withJumps(plan, jump, 50);
    const most = 2 * plan.length + 1;
    assert.ok(jumps.length > 40 * plan.length);
    assert.ok(new Set(jumps).size <= most, `${new Set(jumps).size} objects, expected at most ${most}`);
  }
});

function assertNear(actual: number, expected: number, what: string): void {
  assert.ok(Math.abs(actual - expected) < 1e-9, `${what} ${actual}, expected ${expected}`);
}

Deno.test("a learned variance cannot take a jump's noise, and is refused", () => {
  const plan = planSampling("ddpm", new NoiseSchedule(), { steps: 5, variance: "learned_range" });
  assert.throws(
    () => withJumps(plan, 2, 2),
    (error: unknown) => error instanceof ConfigError && error.field === "variance",
  );
});
