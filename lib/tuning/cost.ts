/**
 * Rough cost of launches before anything is measured: tuning time goes first where the most time is at stake.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Tensor } from "../graph/tensor.ts";

/** Operations in the time of one byte of copying, on a large GPU; 15.7 on an H200. */
const OPERATIONS_PER_BYTE = 16;
/** Bytes copied in the time that a dispatch takes at least: 5 us at 4 TB/s. */
const DISPATCH_BYTES = 2e7;

/** Time of launches by the roofline model, in units of the time to copy a byte. */
export function roughCost(launches: readonly Launch<Tensor>[]): number {
  return launches.reduce((sum, launch) => sum + roughCostOf(launch), 0);
}

function roughCostOf({ operations, buffers }: Launch<Tensor>): number {
  const bytes = [...new Set(Object.values(buffers))].reduce((sum, tensor) => sum + tensor.bytes, 0);
  return DISPATCH_BYTES + Math.max(bytes, operations / OPERATIONS_PER_BYTE);
}
