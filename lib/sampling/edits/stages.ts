/**
 * Progress of work in stages.
 *
 * @module
 */
import type { GenerateOptions } from "../request.ts";

type OnStep = NonNullable<GenerateOptions["onStep"]>;

/**
 * Listeners of stages that report to one as if they were a single one.
 *
 * @param totals steps of each stage
 * @returns one for each stage; undefined without a listener
 */
export function stages(onStep: OnStep | undefined, totals: readonly number[]): (OnStep | undefined)[] {
  const all = totals.reduce((sum, total) => sum + total, 0);
  let before = 0;
  return totals.map((total) => {
    const start = before;
    before += total;
    return onStep && ((done) => onStep(start + done, all));
  });
}
