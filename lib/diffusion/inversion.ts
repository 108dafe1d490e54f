/**
 * DDIM inversion: from an image to the noise that a deterministic sampler draws it from (Song et al. 2021, arXiv 2010.02502,
 * sections 4.3 and 5.4).
 *
 * @module
 */
import { estimates, type ForwardProcess, type NoiseLevel, sigmaOf } from "./forward_process.ts";
import type { PlannedStep } from "./sampler.ts";
import { evaluation, type StepResult } from "./samplers/step.ts";

/**
 * Plans the way back up through the levels of a plan, by Euler's method for the ODE of equation 14 with time reversed:
 *
 * ```text
 * x' / signal' = x / signal + (noise' / signal' - noise / signal) eps
 * ```
 *
 * The first step goes from the image itself, which the network has never seen, to the lowest level, with the network's estimate there. It
 * starts from `x = signal image`, with the signal of the lowest level. There are as many steps as the plan has levels. Nothing is clipped.
 *
 * The network is evaluated at the level of `x`. diffusers' `DDIMInverseScheduler` takes the same steps, but its pipelines pass the timestep
 * that a step ends at.
 *
 * @param plan of a deterministic sampler
 * @returns the steps, least noise first; they lead to `x` before the first step of `plan`
 */
export function inversionSteps(process: ForwardProcess, plan: readonly PlannedStep[]): PlannedStep[] {
  const levels = plan.map(({ level }) => level)
    // Heun's method visits levels twice. Whole timesteps may stand for several levels.
    .filter(({ signal, noise }, i, all) => signal !== all[i - 1]?.signal || noise !== all[i - 1]?.noise)
    .reverse();
  return levels.map((next, i) => {
    const level = levels[i - 1] ?? next;
    const noise = i === 0 ? 0 : level.noise;
    const step = evaluation(process, level, false, 0, upwards(process, level, noise, next));
    return { ...step, noiseRatio: sigmaOf(level) };
  });
}

/** @param noise in `x`, less than the level's in the first step */
function upwards(process: ForwardProcess, level: NoiseLevel, noise: number, next: NoiseLevel): StepResult {
  const { epsFromX, epsFromOut } = estimates(process, level);
  const scale = next === level ? 1 : next.signal / level.signal; // the first step may be to a level without signal
  const nextFromEps = next.noise - scale * noise;
  return {
    next,
    nextFromX0: 0,
    nextFromX: scale + nextFromEps * epsFromX,
    nextFromOut: nextFromEps * epsFromOut,
  };
}
