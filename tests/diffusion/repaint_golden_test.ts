import assert from "node:assert/strict";
import { repaintOrder, withJumps } from "../../lib/diffusion/repaint.ts";
import { applyStep, planSampling, startState } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { goldenValues } from "../golden/formula.ts";

interface Run {
  readonly config: Readonly<Record<string, unknown>> & { readonly eta: number };
  readonly jump: number;
  readonly resamplings: number;
  readonly gain: number;
  readonly mask: readonly number[];
  readonly states: readonly (readonly number[])[];
}

const golden: {
  readonly orders: Readonly<Record<string, readonly number[]>>;
  readonly evaluationsOfPaper: number;
  readonly repaint: Readonly<Record<string, Run>>;
} = JSON.parse(await Deno.readTextFile(new URL("../golden/edits.json", import.meta.url)));

const WIDTH = 16;

for (const [settings, timesteps] of Object.entries(golden.orders)) {
  const [steps, jump, resamplings] = settings.split(" ").map(Number);
  Deno.test(`the steps of ${steps} with ${resamplings} passes and jumps of ${jump} are those of RePaintScheduler's levels`, () => {
    const levels = [...timesteps, -1];
    const evaluated = timesteps.filter((t, i) => levels[i + 1] < t);
    assert.deepEqual(repaintOrder(steps, jump, resamplings), evaluated.map((t) => steps - 1 - t));
  });
}

Deno.test("the settings of the paper, 250 steps with 10 passes and jumps of 10, take as many evaluations as in diffusers", () => {
  assert.equal(repaintOrder(250, 10, 10).length, golden.evaluationsOfPaper);
});

/** Numbers `at WIDTH` and on, times `scale`. */
function numbers(name: string, at = 0, scale = Math.sqrt(3)): Float64Array {
  return goldenValues("edits", name, WIDTH * (at + 1)).slice(-WIDTH).map((value) => scale * value);
}

/**
 * Noise of a step and of the single steps of noise after it as one standard normal number.
 *
 * @param own deviation of the step's own noise
 * @param noise of the step
 * @param added standard normal numbers of the steps of noise
 */
function merged(own: number, noise: number, betas: readonly number[], added: readonly number[]): number {
  let [sum, variance] = [own * noise, own ** 2];
  for (const [k, beta] of betas.entries()) {
    sum = Math.sqrt(1 - beta) * sum + Math.sqrt(beta) * added[k];
    variance = (1 - beta) * variance + beta;
  }
  return variance === 0 ? 0 : sum / Math.sqrt(variance);
}

for (const [name, { config, jump, resamplings, gain, mask, states }] of Object.entries(golden.repaint)) {
  Deno.test(`inpainting follows diffusers' RePaintScheduler evaluation by evaluation: ${name}`, () => {
    const { eta, ...rest } = config;
    const schedule = NoiseSchedule.fromDiffusers(rest);
    const base = planSampling("ddim", schedule, { steps: schedule.betas.length, eta });
    const plan = withJumps(base, jump, resamplings);
    assert.equal(plan.length, states.length - 1);
    const image = numbers("image", 0, 0.8);
    let state = startState(numbers("x", 0, 1.7));
    let undone = 0;
    for (const [k, step] of plan.entries()) {
      const single = base.find(({ timestep }) => timestep === step.timestep)!;
      const { next } = step;
      const betas = Array.from(schedule.betas.slice(single.next.timestep + 1, next.timestep + 1));
      const added = betas.map((_, back) => numbers("undo", undone + back));
      const noise = (own: number) =>
        numbers("noise", k).map((value, i) => merged(own, value, betas, added.map((of) => of[i])));
      const out = state.x.map((value, i) => gain * value + 0.5 * numbers("out", k, 1)[i]);
      state = applyStep(step, state, out, noise(single.sigma));
      const kept = noise(single.next.noise);
      const x = state.x.map((value, i) =>
        (1 - mask[i]) * value + mask[i] * (next.signal * image[i] + next.noise * kept[i])
      );
      state = { ...state, x };
      undone += betas.length;
      for (const [i, value] of states[k + 1].entries()) {
        const bound = 1e-9 * Math.max(1, Math.abs(value));
        assert.ok(Math.abs(x[i] - value) <= bound, `x[${i}] after ${k}: ${x[i]}, expected ${value}`);
      }
    }
    assert.equal(undone, plan.length - base.length, "every step back is one of diffusers' own");
  });
}

/**
 * Algorithm 1 of Lugmayr et al. 2022 at whole timesteps, from 0 here. Three indices and exponents are those of the text (equation 1 and
 * section 4.2) rather than of the print: `x_{t-1}` is known at the level `t - 1`, with the square root of its variance (line 5), and goes
 * back by `beta_t` (line 10).
 *
 * @param x before the first step
 * @param passes the paper's `U`
 * @param outputs the network's, by evaluation
 * @param draws standard normal numbers by evaluation: `eps`, `z` and those of line 10
 * @returns x_0
 */
function algorithm1(
  schedule: NoiseSchedule,
  { x, image, mask, passes }: { x: number; image: number; mask: number; passes: number },
  outputs: (x: number, k: number) => number,
  draws: (k: number) => { eps: number; z: number; back: number },
): number {
  const { betas } = schedule;
  const acp = Array.from(
    betas,
    (_, t) => betas.slice(0, t + 1).reduce((product, beta) => product * (1 - beta), 1),
  );
  let k = 0;
  for (let t = betas.length - 1; t >= 0; t--) {
    for (let u = 1; u <= (t > 0 ? passes : 1); u++, k++) {
      const { eps, z, back } = draws(k);
      const before = acp[t - 1] ?? 1;
      const known = Math.sqrt(before) * image + Math.sqrt(1 - before) * eps;
      const mean = (x - betas[t] / Math.sqrt(1 - acp[t]) * outputs(x, k)) / Math.sqrt(1 - betas[t]);
      const unknown = mean + (t > 0 ? Math.sqrt(betas[t]) * z : 0);
      const lower = mask * known + (1 - mask) * unknown;
      x = u < passes && t > 0 ? Math.sqrt(1 - betas[t]) * lower + Math.sqrt(betas[t]) * back : lower;
    }
  }
  return x;
}

Deno.test("ancestral sampling with jumps of one step is the paper's algorithm 1", () => {
  const schedule = new NoiseSchedule({
    numTrainTimesteps: 6,
    betaStart: 0.02,
    betaEnd: 0.4,
    clipSample: false,
  });
  const passes = 3;
  const plan = withJumps(planSampling("ddpm", schedule, { steps: 6, variance: "fixed_large" }), 1, passes);
  const value = (name: string, k: number) => numbers(name, k)[0];
  const draws = (k: number) => ({
    eps: value("noise", k),
    z: value("noise", k + 50),
    back: value("undo", k),
  });
  const outputs = (x: number, k: number) => 0.6 * x + value("out", k);
  for (const mask of [0, 1, 0.3]) {
    const [start, image] = [1.4, -0.6];
    let x = start;
    for (const [k, step] of plan.entries()) {
      const { eps, z, back } = draws(k);
      const { level, next } = step;
      const betas = next.timestep === level.timestep ? [schedule.betas[level.timestep]] : [];
      const own = level.timestep === 0 ? 0 : Math.sqrt(schedule.betas[level.timestep]);
      const lower = level.timestep === 0 ? 0 : schedule.level(level.timestep - 1).noise;
      const { x: [drawn] } = applyStep(step, startState(Float64Array.of(x)), [outputs(x, k)], [
        merged(own, z, betas, [back]),
      ]);
      const kept = next.signal * image + next.noise * merged(lower, eps, betas, [back]);
      x = (1 - mask) * drawn + mask * kept;
    }
    const expected = algorithm1(schedule, { x: start, image, mask, passes }, outputs, draws);
    assert.ok(Math.abs(x - expected) < 1e-9, `mask ${mask}: ${x}, expected ${expected}`);
  }
});
