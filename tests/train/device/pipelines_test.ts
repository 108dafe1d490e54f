/** Distinct pipelines of a training step, which a software adapter compiles for half a second each. */
import assert from "node:assert/strict";
import { lowerContext } from "../../../lib/graph/compile.ts";
import { lower } from "../../../lib/graph/lower.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import { trainingGraph } from "../../../lib/train/device/step_graph.ts";

for (const preset of ["tiny", "small", "ddpm"]) {
  const { dropout } = presetConfig(preset, 10);
  Deno.test(`norms of ${preset} compile ${dropout > 0 ? 5 : 3} pipelines on a software adapter`, () => {
    const g = trainingGraph({ config: presetConfig(preset, 10), batch: 16, precision: "float32" });
    const context = lowerContext(g, { path: "subgroup", subgroupSize: 8 });
    const launches = g.nodes.flatMap((node) => lower(context, node));
    const norms = launches.filter(({ kernel }) => kernel.name.startsWith("group_norm"));
    const pipelines = new Set(
      norms.map(({ kernel, entry, constants }) => `${kernel.name}.${entry} ${JSON.stringify(constants)}`),
    );
    const entries = [...pipelines].map((text) => text.slice(0, text.indexOf(" "))).toSorted();
    // One each with SiLU and without.
    assert.deepEqual(entries, [
      "group_norm.backward",
      "group_norm.forward",
      ...dropout > 0 ? ["group_norm_dropout.backward", "group_norm_dropout.forward"] : [],
      "group_norm_split.backward",
    ]);
  });
}
