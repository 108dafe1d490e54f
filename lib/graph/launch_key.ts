/**
 * Keys that compare launches. Three passes over the lowered launches of a graph save work by them, in this order:
 *
 * 1. hoisting (`constants.ts`): results that depend on parameters alone are computed once for all graphs of a network; equal
 *    launches of several graphs share a result;
 * 2. common subexpressions (`repeats.ts`): of equal launches in one graph, only the first is kept;
 * 3. combination (`combine.ts`): different launches of one pipeline become one dispatch.
 *
 * Autotuning (`lib/tuning/trials.ts`) leaves out launches that are equal for all candidates.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Tensor } from "./tensor.ts";

/** Key of the code that a launch runs. Kernel names are unique on a device. */
export function pipelineKey({ kernel, entry, constants }: Launch<unknown>): string {
  return JSON.stringify([kernel.name, entry, constants]);
}

/**
 * Key of the values that a launch computes: its code, shapes and operands, and the sizes of its results.
 *
 * @param operand identity of a tensor that is read; equal for tensors with equal values
 */
export function launchKey(launch: Launch<Tensor>, operand: (tensor: Tensor) => string | number): string {
  const { kernel, params, buffers, workgroups } = launch;
  const bound = Object.entries(buffers).map(([name, tensor]) =>
    kernel.bindings[name]?.access === "read" ? [name, operand(tensor)] : [name, tensor.bytes]
  );
  return JSON.stringify([pipelineKey(launch), params, workgroups, bound]);
}
