/**
 * Resampling of RePaint (Lugmayr et al. 2022, arXiv 2201.09865): steps back to more noise, so that what is drawn and what is
 * kept get time to agree.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { NoiseLevel } from "./forward_process.ts";
import type { PlannedStep } from "./sampler.ts";

/**
 * Order in which the steps of a plan are taken (section 4.2; figure 9 shows one). Each time that `jump` steps have been taken, counted
 * from the image, they are taken again until there have been `resamplings` passes over them.
 *
 * This is the authors' order. diffusers' `RePaintPipeline` makes every jump one level lower, the last from the finished image.
 *
 * @param steps number of steps of the plan
 * @param jump steps of a jump back (the paper's `j`), at least 1
 * @param resamplings passes over each stretch (the paper's `r`), at least 1
 * @returns indices of steps; a jump goes before the step after which the index does not rise
 */
export function repaintOrder(steps: number, jump: number, resamplings: number): number[] {
  const left = new Map<number, number>();
  for (let rest = 0; rest < steps - jump; rest += jump) left.set(rest, resamplings - 1);
  const order: number[] = [];
  // `rest` is the number of steps that are left once the image is at a level, as the paper counts t
  for (let rest = steps - 1; rest >= 0; rest--) {
    order.push(steps - 1 - rest);
    const jumps = left.get(rest - 1) ?? 0;
    if (jumps === 0) continue;
    left.set(rest - 1, jumps - 1);
    rest += jump;
  }
  return order;
}

/** Steps that {@linkcode repaintOrder} takes. */
export function repaintSteps(steps: number, jump: number, resamplings: number): number {
  const jumps = Math.max(0, Math.ceil((steps - jump) / jump)) * (resamplings - 1);
  return steps + jumps * jump;
}

/**
 * Adds RePaint's jumps to a plan. A jump takes no evaluation: it is part of the step before, which ends at the higher level.
 *
 * @param plan of a sampler whose steps depend on `x` alone
 * @throws {ConfigError} for a learned variance, to which a jump cannot add its own
 */
export function withJumps(plan: readonly PlannedStep[], jump: number, resamplings: number): PlannedStep[] {
  if (plan.some(({ logSigmaRange }) => logSigmaRange !== 0)) {
    throw new ConfigError("variance", "learned_range", "fixed_small or fixed_large with resamplings above 1");
  }
  // Steps that repeat are one object each: 1000 steps of 50 passes are 50,000, in every image of a batch.
  const later = plan.map((step) => step.initialNoise === 0 ? step : { ...step, initialNoise: 0 });
  const ends = new Map<PlannedStep, PlannedStep>();
  const order = repaintOrder(plan.length, jump, resamplings);
  return order.map((index, i) => {
    const step = (i === 0 ? plan : later)[index]!; // `order` holds indices of the plan
    const following = order[i + 1];
    if (following === undefined || following > index) return step;
    const end = ends.get(step) ?? noised(step, plan[following]!.level); // every jump from a step goes to the same
    ends.set(step, end);
    return end;
  });
}

/**
 * A step followed by the forward process up to a noisier level (Algorithm 1, line 10, for several steps at once, by the betas between the
 * two levels as in section 4.2; diffusers' `undo_step` takes others where a plan skips timesteps):
 *
 * ```text
 * x' ~ N(a x, (noise'^2 - a^2 noise^2) I)        a = signal' / signal
 * ```
 */
function noised(step: PlannedStep, to: NoiseLevel): PlannedStep {
  const scale = to.signal / step.next.signal;
  const added = Math.max(0, to.noise ** 2 - (scale * step.next.noise) ** 2);
  return {
    ...step,
    next: to,
    nextFromX0: scale * step.nextFromX0,
    nextFromX: scale * step.nextFromX,
    nextFromOut: scale * step.nextFromOut,
    sigma: Math.sqrt((scale * step.sigma) ** 2 + added),
  };
}
