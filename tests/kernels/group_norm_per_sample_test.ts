import assert from "node:assert/strict";
import { groupNormBackward, groupNormForward, type GroupNormShape } from "../../kernels/group_norm.ts";
import { noise } from "../reference/differences.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels } from "../support/layout.ts";
import { FLOAT32 } from "../support/storage.ts";

/** Runs forward and backward; `affine` [N or 1, 2, Cp] has beta, then gamma. */
async function run(
  s: GroupNormShape,
  { x, dy, affine }: { x: Float32Array; dy: Float32Array; affine: Float32Array },
) {
  const width = 4 * Math.ceil(s.channels / 4);
  const parameters = s.perSample
    ? { gamma: affine, beta: affine }
    : { gamma: affine.slice(width), beta: affine.slice(0, width) };
  const [y, dx] = [new Float32Array(x.length), new Float32Array(x.length)];
  const stats = new Float32Array(4 * s.batch * width);
  const sums = new Float32Array(2 * s.batch * width);
  await FLOAT32.run([
    ...groupNormForward<HostArray>(s, { x, ...parameters, stats, y }),
    ...groupNormBackward<HostArray>(s, { x, stats, dy, dx, sums }),
  ]);
  return { y, dx, sums };
}

// Registers of a GPU's invocations hold the first two; it loops over the last.
for (const [spatial, channels, groups] of [[35, 6, 2], [16, 64, 32], [1600, 16, 4]] as const) {
  for (const path of ["tile", "subgroup"] as const) {
    const shape = { spatial, channels, groups, eps: 1e-6, activation: "silu" as const, path };
    Deno.test(`a norm with parameters of each sample is that of the sample alone: [${spatial},${channels}] ${path}`, async () => {
      const batch = 3;
      const pack = (seed: number, rows: number) => packChannels(noise(rows * channels, seed), channels);
      const [x, dy, affine] = [pack(1, batch * spatial), pack(2, batch * spatial), pack(3, 2 * batch)];
      const all = await run({ ...shape, batch, perSample: true }, { x, dy, affine });
      for (let n = 0; n < batch; n++) {
        const of = (values: Float32Array) =>
          values.slice(n * values.length / batch, (n + 1) * values.length / batch);
        const one = await run({ ...shape, batch: 1 }, { x: of(x), dy: of(dy), affine: of(affine) });
        assert.deepEqual(of(all.y), one.y, "y");
        assert.deepEqual(of(all.dx), one.dx, "dx");
        assert.deepEqual(of(all.sums), one.sums, "gradients of beta and gamma");
      }
    });
  }
}
