/**
 * Tensors that launches read and write.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Tensor } from "./tensor.ts";

/** Tensors that a launch reads, by binding, and those that it writes. */
export function accesses(
  { kernel, buffers }: Launch<Tensor>,
): { reads: [name: string, tensor: Tensor][]; writes: Tensor[] } {
  const of = (access: "read" | "read_write") =>
    Object.entries(buffers).filter(([name]) => kernel.bindings[name]?.access === access);
  return { reads: of("read"), writes: of("read_write").map(([, tensor]) => tensor) };
}

/** Number of launches that write each tensor. */
export function countWriters(launches: readonly Launch<Tensor>[]): Map<Tensor, number> {
  const counts = new Map<Tensor, number>();
  for (const launch of launches) {
    for (const tensor of accesses(launch).writes) counts.set(tensor, (counts.get(tensor) ?? 0) + 1);
  }
  return counts;
}

/** Replaces tensors of launches. */
export function replaceTensors(
  launches: readonly Launch<Tensor>[],
  replace: (tensor: Tensor) => Tensor,
): Launch<Tensor>[] {
  return launches.map((launch) => ({
    ...launch,
    buffers: Object.fromEntries(
      Object.entries(launch.buffers).map(([name, tensor]) => [name, replace(tensor)]),
    ),
  }));
}
