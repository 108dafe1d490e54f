import { rescaleForward } from "../../kernels/rescale.ts";
import { noise } from "../reference/differences.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { STORAGES } from "../support/storage.ts";

for (const storage of STORAGES) {
  const tolerance = storage.stored({ absolute: 1e-6, relative: 1e-6 });
  for (const [rows, channels] of [[1, 1], [7, 3], [300, 6], [1100, 4]] as const) {
    for (const added of [false, true]) {
      const name = `[${rows},${channels}]${added ? " added to another" : ""}${storage.suffix}`;
      Deno.test(`rescale is the linear function of each value, and padding stays zero: ${name}`, async () => {
        const [x, addend] = [1, 2].map((seed) => storage.rounded(noise(rows * channels, seed)));
        const packed = (values: Float64Array) => storage.array(packChannels(values, channels));
        const y = storage.empty(rows * 4 * Math.ceil(channels / 4));
        const shape = { rows, channels, factor: 2.5, offset: -1 };
        const buffers = { x: packed(x), ...added ? { addend: packed(addend) } : {}, y };
        await storage.run(rescaleForward<HostArray>(shape, buffers));
        const want = x.map((value, i) => 2.5 * value - 1 + (added ? addend[i] : 0));
        // Also checks that the padding is zero.
        assertClose(unpackChannels(y, channels), want, tolerance, "y");
      });
    }
  }

  Deno.test(`rescale divides each sample by a number of its own, padding stays zero${storage.suffix}`, async () => {
    const [samples, rows, channels] = [3, 15, 6];
    const divisors = Float32Array.of(1000, 0.25, -3);
    const x = storage.rounded(noise(rows * channels, 3));
    const y = storage.empty(rows * 8);
    const shape = { rows, channels, samples, factor: 2, offset: 0.5 };
    const buffers = { x: storage.array(packChannels(x, channels)), divisors, y };
    await storage.run(rescaleForward<HostArray>(shape, buffers));
    const perSample = rows / samples * channels;
    const want = x.map((value, i) => 2 * value / divisors[Math.floor(i / perSample)] + 0.5);
    assertClose(unpackChannels(y, channels), want, tolerance, "y");
  });
}
