/** Tuning with a timer of its own in place of measurements. */
import assert from "node:assert/strict";
import { choose, type KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { lowerContext } from "../../lib/graph/compile.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { lower } from "../../lib/graph/lower.ts";
import { conv2d } from "../../lib/graph/ops.ts";
import type { TuneMode, Tuning, TuningMeans, TuningProgress } from "../../lib/tuning/tuning.ts";
import { openTuning as openCachedTuning } from "../../lib/tuning/tuning_file.ts";
import { testGpu } from "./gpu.ts";

const fail = (message: string) => assert.fail(message);

/** A convolution, which can be computed in several ways. */
export function tunableConvolution(channels = 32): Graph {
  const g = new Graph();
  const x = g.input("x", [2, 8, 8, channels]);
  const weight = g.parameter("weight", "conv", [channels, channels, 3, 3], { kind: "ones" });
  const bias = g.parameter("bias", "vector", [channels], { kind: "zeros" });
  conv2d(g, x, { weight, bias }, { kernel: 3, stride: 1, padding: 1 });
  return g;
}

/** Choices by key that lowering of graphs requests: candidates, and the choice of a target. */
export function answers(
  target: KernelTarget,
  ...graphs: Graph[]
): Map<string, { candidates: readonly string[]; choice: string }> {
  const asked = new Map<string, { candidates: readonly string[]; choice: string }>();
  for (const g of graphs) {
    const recording: KernelTarget = {
      ...target,
      choose(key, candidates) {
        const choice = choose(target, key, candidates);
        asked.set(key, { candidates, choice });
        return choice;
      },
    };
    const context = lowerContext(g, recording);
    for (const node of g.nodes) lower(context, node);
  }
  return asked;
}

/** Timer that finds the last candidate the fastest; counts trials, starts and ends. */
export class LastWins {
  trials = 0;
  started = 0;
  destroyed = 0;
  readonly means: TuningMeans = {
    startTimer: () => {
      this.started++;
      return {
        measure: (trial) => {
          this.trials++;
          return Promise.resolve(new Map([...trial.keys()].map((name, i) => [name, 1e-3 / (i + 1)])));
        },
        destroy: () => void this.destroyed++,
      };
    },
  };
}

/** Tunes graphs; all progress. */
export async function prepareAll(
  tuning: Tuning,
  graphs: readonly Graph[],
  signal?: AbortSignal,
): Promise<TuningProgress[]> {
  return await Array.fromAsync(tuning.prepare(() => graphs, { signal }));
}

/** Opens tuning; warnings fail the test by default. */
export function openTuning(
  gpu: Gpu,
  tune: TuneMode,
  tuningDirectory?: string,
  means?: TuningMeans,
  onWarning = fail,
): Promise<Tuning> {
  return openCachedTuning(gpu, { tune, tuningDirectory }, onWarning, means);
}

/** Description of a GPU, or of a software adapter, that cannot run anything. */
export async function toyGpu(software = false): Promise<Gpu> {
  const { adapter, device, limits } = await testGpu();
  return { adapter: { ...adapter, software }, device, limits } as unknown as Gpu;
}
