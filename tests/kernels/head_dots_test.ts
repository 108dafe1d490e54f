import { headDots } from "../../kernels/head_dots.ts";
import { noise } from "../reference/differences.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels } from "../support/layout.ts";
import { STORAGES } from "../support/storage.ts";

const SHAPES = [[1, 1, 1, 1], [2, 5, 6, 2], [3, 7, 32, 4], [2, 16, 256, 1], [1, 3, 100, 5]] as const;

for (const storage of STORAGES) {
  for (const [batch, length, channels, heads] of SHAPES) {
    const name = `y=[${batch},${length},${channels}] heads=${heads}${storage.suffix}`;
    Deno.test(`head_dots match the sums by definition: ${name}`, async () => {
      const [y, dy] = [1, 2].map((seed) => storage.rounded(noise(batch * length * channels, seed)));
      const dots = new Float32Array(batch * heads * length).fill(NaN);
      await storage.run(headDots<HostArray>({ batch, length, channels, heads }, {
        y: storage.array(packChannels(y, channels)),
        dy: storage.array(packChannels(dy, channels)),
        dots,
      }));
      const size = channels / heads;
      const want = Float64Array.from(dots, (_, at) => {
        const [position, head, sample] = [
          at % length,
          Math.floor(at / length) % heads,
          Math.floor(at / length / heads),
        ];
        const first = (sample * length + position) * channels + head * size;
        return y.slice(first, first + size).reduce((sum, v, d) => sum + v * dy[first + d], 0);
      });
      // float32 sums of up to 256 products in [-1, 1).
      assertClose(dots, want, { absolute: 256 * 2 ** -24 }, "dots");
    });
  }
}
