/** Number of dispatches of a training step on a GPU, each of which costs the host a few microseconds. */
import assert from "node:assert/strict";
import { lowerContext, planLaunches } from "../../../lib/graph/compile.ts";
import { lower } from "../../../lib/graph/lower.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import { withAlgorithm } from "../../support/conv2d_checks.ts";
import { trainingGraph } from "../../../lib/train/device/step_graph.ts";

/** Dispatches for the gradients of a batch of 128, with the algorithms that a large GPU chooses. */
function dispatches(preset: string): number {
  const g = trainingGraph({ config: presetConfig(preset, 10), batch: 128 });
  const target = { path: "tile", subgroupSize: 32, bindingBytes: 2 ** 31 } as const;
  const context = lowerContext(g, withAlgorithm(target, "winograd4"));
  const { combined: { launches } } = planLaunches(g, g.nodes.map((node) => lower(context, node)), context);
  return launches.flat().length + Number(context.sampleSums.all !== undefined);
}

// Upper bounds: lower them whenever a change saves dispatches.
const LIMITS = { tiny: 461, small: 678, ddpm: 724 };

for (const [preset, limit] of Object.entries(LIMITS)) {
  Deno.test(`the gradients of ${preset} at batch 128 take at most ${limit} dispatches`, () => {
    const count = dispatches(preset);
    assert.ok(count <= limit, `${count} dispatches`);
  });
}
