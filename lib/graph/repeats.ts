/**
 * Common subexpressions of lowered nodes: workspace that two of them compute from the same operands, such as the transformed
 * weights and the transformed input of a convolution, which its gradients need again. The second launch is dropped where
 * there is memory to keep the first one's result. Second of the passes listed in `launch_key.ts`.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import { accesses, countWriters, replaceTensors } from "./accesses.ts";
import { launchKey } from "./launch_key.ts";
import { type Node, outputsOf } from "./operations.ts";
import type { Tensor } from "./tensor.ts";

/** Launch whose result an earlier launch has computed. */
interface Repeat {
  readonly launch: Launch<Tensor>;
  readonly result: Tensor;
  readonly earlier: Tensor;
}

/**
 * Drops repeated launches, small results first: each saves a dispatch, and a small one costs little memory. Results of nodes
 * are left alone, because activation checkpointing repeats them to save memory.
 *
 * @param lowered launches by node, in order
 * @param limit limit on the results kept for a later node, bytes
 * @returns the remaining launches by node; the operand itself if there are no repeats
 */
export function dropRepeats(
  nodes: readonly Node[],
  lowered: readonly (readonly Launch<Tensor>[])[],
  limit: number,
): readonly (readonly Launch<Tensor>[])[] {
  const repeats = findRepeats(new Set(nodes.flatMap(outputsOf)), lowered.flat());
  const dropped = new Set<Launch<Tensor>>();
  const kept = new Set<Tensor>();
  const replaced = new Map<Tensor, Tensor>();
  let bytes = 0;
  for (const { launch, result, earlier } of repeats.sort((a, b) => a.result.bytes - b.result.bytes)) {
    if (!kept.has(earlier)) {
      if (bytes + earlier.bytes > limit) break;
      bytes += earlier.bytes;
      kept.add(earlier);
    }
    dropped.add(launch);
    replaced.set(result, earlier);
  }
  if (dropped.size === 0) return lowered;
  return lowered.map((launches) =>
    replaceTensors(
      launches.filter((launch) => !dropped.has(launch)),
      (tensor) => replaced.get(tensor) ?? tensor,
    )
  );
}

function findRepeats(results: ReadonlySet<Tensor>, launches: readonly Launch<Tensor>[]): Repeat[] {
  const writers = countWriters(launches);
  const first = new Map<string, Tensor>();
  const repeats: Repeat[] = [];
  for (const launch of launches) {
    const { reads, writes: [result, ...more] } = accesses(launch);
    if (!result || more.length > 0 || result.role !== "activation" || results.has(result)) continue;
    // Workspace that is written several times, for slices of a batch, has no lasting contents.
    if ([result, ...reads.map(([, tensor]) => tensor)].some((t) => (writers.get(t) ?? 0) > 1)) continue;
    const key = launchKey(launch, ({ id }) => id);
    const earlier = first.get(key);
    if (earlier) repeats.push({ launch, result, earlier });
    else first.set(key, result);
  }
  return repeats;
}
