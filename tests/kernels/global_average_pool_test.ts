import assert from "node:assert/strict";
import { globalAveragePoolBackward, globalAveragePoolForward } from "../../kernels/global_average_pool.ts";
import { differences, noise } from "../reference/differences.ts";
import { averagePoolGradientReference, averagePoolReference } from "../reference/global_average_pool.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { FLOAT16, STORAGES } from "../support/storage.ts";

Deno.test("global_average_pool's reference gradient matches central differences: [2,3,2]", () => {
  const sizes = [2, 3, 2] as const;
  const [x, dy] = [noise(12, 1), noise(4, 2)];
  // The function is linear, so differences are exact up to float64.
  const want = differences(() => averagePoolReference(sizes, x), x, dy);
  assertClose(averagePoolGradientReference(sizes, dy), want, { absolute: 1e-10 }, "dx");
});

const SHAPES = [[1, 1, 1], [2, 35, 6], [3, 3, 9], [5, 64, 64], [1, 1024, 4]] as const;
for (const storage of STORAGES) {
  for (const sizes of SHAPES) {
    const [batch, spatial, channels] = sizes;
    const shape = { batch, spatial, channels };

    Deno.test(`global_average_pool matches reference: x=[${sizes}]${storage.suffix}`, async () => {
      const x = storage.rounded(noise(batch * spatial * channels, 3));
      const y = storage.empty(batch * 4 * Math.ceil(channels / 4));
      const operands = { x: storage.array(packChannels(x, channels)), y };
      await storage.run(globalAveragePoolForward<HostArray>(shape, operands));
      const tolerance = storage.stored({ absolute: 2e-7 });
      assertClose(unpackChannels(y, channels), averagePoolReference(sizes, x), tolerance, "y");
    });

    for (const added of [false, true]) {
      const name = `dx=[${sizes}]${added ? " with an addend" : ""}${storage.suffix}`;
      Deno.test(`global_average_pool's gradient matches reference: ${name}`, async () => {
        const dy = storage.rounded(noise(batch * channels, 4));
        const sum = added ? storage.rounded(noise(batch * spatial * channels, 5)) : undefined;
        const dx = storage.empty(batch * spatial * 4 * Math.ceil(channels / 4));
        const operands = {
          dy: storage.array(packChannels(dy, channels)),
          addend: sum && storage.array(packChannels(sum, channels)),
          dx,
        };
        await storage.run(globalAveragePoolBackward<HostArray>(shape, operands));
        const expected = averagePoolGradientReference(sizes, dy, sum);
        const tolerance = storage.stored({ absolute: 0, relative: 2e-7 });
        assertClose(unpackChannels(dx, channels), expected, tolerance, "dx");
      });
    }
  }
}

Deno.test("global_average_pool of float16 sums in float32, which holds what float16 cannot", async () => {
  const x = FLOAT16.array(new Float32Array(4 * 1024).fill(1000));
  const y = FLOAT16.empty(4);
  await FLOAT16.run(globalAveragePoolForward<HostArray>({ batch: 1, spatial: 1024, channels: 4 }, { x, y }));
  assert.deepEqual([...y], [1000, 1000, 1000, 1000]);
});
