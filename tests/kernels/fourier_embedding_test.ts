import { fourierEmbeddingForward } from "../../kernels/fourier_embedding.ts";
import { noise } from "../reference/differences.ts";
import { fourierEmbeddingReference } from "../reference/fourier_embedding.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { STORAGES } from "../support/storage.ts";

const TIMES = [1e-3, 0.25, 0.999, 1, 1.5, 27, 371.25, 1000];

for (const storage of STORAGES) {
  for (const count of [1, 3, 64]) {
    Deno.test(`fourier_embedding is sines and cosines of the logarithm: ${count} frequencies${storage.suffix}`, async () => {
      const frequencies = Float32Array.from(noise(count, 6), (value) => 16 * value);
      const timesteps = Float32Array.from(TIMES);
      const y = storage.empty(TIMES.length * 4 * Math.ceil(count / 2));
      const buffers = { timesteps, frequencies: packChannels(frequencies, count), y };
      await storage.run(
        fourierEmbeddingForward<HostArray>({ batch: TIMES.length, frequencies: count }, buffers),
      );
      const want = fourierEmbeddingReference(timesteps, frequencies);
      // Up to 16 x 6.9 turns, rounded to 24 bits twice: 1e-5 of a turn, 8e-5 rad. Unpacking checks that padding is zero.
      assertClose(unpackChannels(y, 2 * count), want, storage.stored({ absolute: 1e-4 }), "y");
    });
  }
}
