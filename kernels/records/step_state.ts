/**
 * Step state: the record of everything that changes from step to step; see step_state.wgsl.
 *
 * @module
 */
import type { StepStateLayout } from "./layouts.ts";
import type { RecordValues } from "./record.ts";

/** Values of the step state. */
export type StepState = RecordValues<typeof StepStateLayout>;

/** Random streams of a seed. */
export const STREAM: Readonly<Record<"training" | "validation" | "sampling", number>> = {
  training: 0,
  validation: 1,
  sampling: 2,
};
