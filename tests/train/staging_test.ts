import assert from "node:assert/strict";
import { unetParameters } from "../../lib/model/network.ts";
import type { Precision } from "../../lib/model/precision.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { microNetwork, run } from "../support/train/micro.ts";

/** Maps of the staging buffer in a run of one step, which is saved at its end. */
async function mapsOf(precision: Precision): Promise<number> {
  const { mapAsync } = GPUBuffer.prototype;
  let maps = 0;
  GPUBuffer.prototype.mapAsync = function (...args) {
    if (this.label.endsWith(", weights read-back")) maps++;
    return mapAsync.apply(this, args);
  };
  try {
    await inTemporaryDirectory((out) => run({ precision, out, steps: 1 }));
  } finally {
    GPUBuffer.prototype.mapAsync = mapAsync;
  }
  return maps;
}

Deno.test("weights and moments of a small run are read in one map each, also in mixed precision", async () => {
  const { elements } = unetParameters(microNetwork());
  assert.ok(unetParameters(microNetwork(), "mixed").elements > elements);
  assert.deepEqual([await mapsOf("float32"), await mapsOf("mixed")], [4, 4]);
});
