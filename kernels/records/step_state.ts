/**
 * The record that carries everything which changes from step to step; see step_state.wgsl.
 *
 * @module
 */
import type { StepStateLayout } from "./layouts.ts";
import type { RecordValues } from "./record.ts";

/** Values of the step record. */
export type StepState = RecordValues<typeof StepStateLayout>;

/** Streams that keep the random numbers of one seed apart. */
export const STREAM: Readonly<Record<"training" | "validation" | "sampling", number>> = {
  training: 0,
  validation: 1,
  sampling: 2,
};
