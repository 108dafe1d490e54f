import assert from "node:assert/strict";
import { inversionSteps } from "../../lib/diffusion/inversion.ts";
import { applyStep, planSampling, startState } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { goldenValues } from "../golden/formula.ts";

interface Run {
  readonly config: Readonly<Record<string, unknown>>;
  readonly steps: number;
  readonly gain: number;
  readonly timesteps: readonly number[];
  readonly states: readonly (readonly number[])[];
}

const { inversion }: { readonly inversion: Readonly<Record<string, Run>> } = JSON.parse(
  await Deno.readTextFile(new URL("../golden/edits.json", import.meta.url)),
);

const WIDTH = 16;

for (const [name, { config, steps, gain, timesteps, states }] of Object.entries(inversion)) {
  Deno.test(`inversion takes the steps of diffusers' DDIMInverseScheduler for the same outputs: ${name}`, () => {
    const process = NoiseSchedule.fromDiffusers(config);
    const up = inversionSteps(process, planSampling("ddim", process, { steps, clip: false }));
    assert.deepEqual(up.map(({ next }) => next.timestep), timesteps);
    // diffusers asks the network for the level that a step ends at, which x has not reached; Euler's method for the level that it has.
    assert.deepEqual(up.map(({ timestep }) => timestep), [timesteps[0], ...timesteps.slice(0, -1)]);
    const outs = goldenValues("edits", "out", WIDTH * steps);
    // From the image itself diffusers takes the output for the noise, whatever the objective.
    const first = process.objective === "epsilon" ? 0 : 1;
    let { x } = startState(Float64Array.from(states[first]));
    for (const [k, step] of up.entries()) {
      if (k < first) continue;
      const out = x.map((value, i) => gain * value + 0.5 * outs[WIDTH * k + i]);
      const scale = k === 0 ? step.level.signal : 1; // the network is shown the image as part of the lowest level
      ({ x } = applyStep(step, startState(x.map((value) => scale * value)), out));
      for (const [i, value] of states[k + 1].entries()) {
        const bound = 1e-9 * Math.max(1, Math.abs(value));
        assert.ok(Math.abs(x[i] - value) <= bound, `x[${i}] after ${k}: ${x[i]}, expected ${value}`);
      }
    }
  });
}
