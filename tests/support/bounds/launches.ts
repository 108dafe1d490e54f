/** Every launch of a graph by itself, with every candidate of every choice. */
import type { KernelSource, Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import type { Gpu } from "../../../lib/gpu/device.ts";
import { ResourceScope } from "../../../lib/gpu/memory.ts";
import { buildProgram, runPrograms } from "../../../lib/gpu/program.ts";
import type { Graph } from "../../../lib/graph/graph.ts";
import type { Node } from "../../../lib/graph/operations.ts";
import type { Tensor } from "../../../lib/graph/tensor.ts";
import { traceChoices, type TracedLowering } from "../../../lib/tuning/trials.ts";

/**
 * Launches of a graph, one of those that differ in nothing but the contents of their tensors.
 *
 * @param choices `all` candidates of every choice, or the default
 */
export function distinctLaunches(
  g: Graph,
  target: KernelTarget,
  choices: "all" | "default" = "default",
): Launch<Tensor>[] {
  const distinct = new Map<string, Launch<Tensor>>();
  const lowered = traceChoices(target);
  for (const node of g.nodes) {
    const launches = choices === "all" ? lowerings(g, node, lowered) : lowered(g, node, new Map()).launches;
    for (const launch of launches) {
      const { kernel, entry, constants, params, workgroups, buffers } = launch;
      const bytes = Object.entries(buffers).map(([name, tensor]) => [name, tensor.bytes]);
      const key = JSON.stringify([kernel.name, kernel.code, entry, constants, params, workgroups, bytes]);
      if (!distinct.has(key)) distinct.set(key, launch);
    }
  }
  return [...distinct.values()];
}

/** Launches of a node by all candidates, including those of choices that another choice leads to. */
function* lowerings(g: Graph, node: Node, lowered: TracedLowering): Generator<Launch<Tensor>> {
  // One choice at a time differs from the default, below each candidate that leads to more choices.
  const tried = new Set<string>();
  const pending: ReadonlyMap<string, string>[] = [new Map()];
  for (let fixed = pending.pop(); fixed; fixed = pending.pop()) {
    const { launches, requested } = lowered(g, node, fixed);
    yield* launches;
    for (const [key, candidates] of requested) {
      for (const candidate of candidates) {
        const id = `${key} ${candidate}`;
        if (tried.has(id)) continue;
        tried.add(id);
        pending.push(new Map([...fixed, [key, candidate]]));
      }
    }
  }
}

/**
 * Kernel without the multiply-adds of unrolled loops, hundreds in a kernel. No index depends on them, and drivers take seconds to
 * compile them.
 */
function withoutArithmetic(kernel: KernelSource): KernelSource {
  return { ...kernel, code: kernel.code.replace(/(\w+) = fma\(.*, \1\);/g, "") };
}

/** Runs launches one by one, with tensors of zeros in buffers of exactly their sizes, and without all their arithmetic. */
export async function runAlone(gpu: Gpu, launches: readonly Launch<Tensor>[]): Promise<void> {
  for (const launch of launches) {
    const scope = new ResourceScope(gpu, "test");
    const kernel = withoutArithmetic(launch.kernel);
    await scope.guard(async () => {
      const views = new Map(
        Object.values(launch.buffers).map((tensor) => [tensor, scope.buffer(tensor.bytes, tensor.name)]),
      );
      const buffers = Object.fromEntries(
        Object.entries(launch.buffers).map(([name, tensor]) => [name, views.get(tensor)!]),
      );
      runPrograms(gpu, [scope.own(await buildProgram(gpu, [{ ...launch, kernel, buffers }]))]);
      await gpu.device.queue.onSubmittedWorkDone();
    });
    scope.destroy();
  }
}
