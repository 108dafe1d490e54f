import { vectorEmbeddingBackward, vectorEmbeddingForward } from "../../kernels/vector_embedding.ts";
import { differences, noise } from "../reference/differences.ts";
import { vectorEmbeddingGradientReference, vectorEmbeddingReference } from "../reference/vector_embedding.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { STORAGES } from "../support/storage.ts";

Deno.test("vector embedding reference gradient matches central differences", () => {
  const [table, vectors, dy] = [noise(3 * 5, 1), noise(4 * 3, 2), noise(4 * 5, 3)];
  const want = differences(() => vectorEmbeddingReference(table, vectors, 3, 5), table, dy);
  // The function is linear, so differences are exact up to float64.
  assertClose(vectorEmbeddingGradientReference(vectors, dy, 3, 5), want, { absolute: 1e-10 }, "dtable");
});

const SHAPES = [[1, 1, 1], [5, 9, 6], [130, 9, 128], [3, 4, 260]];
for (const storage of STORAGES) {
  for (const [batch, rows, dim] of SHAPES) {
    const name = `table=[${rows},${dim}] vectors=[${batch},${rows}]${storage.suffix}`;
    Deno.test(`vector embedding and its gradient match the reference: ${name}`, async () => {
      const [table, vectors] = [noise(rows * dim, 3), noise(batch * rows, 4)];
      const dy = storage.rounded(noise(batch * dim, 5));
      const host = {
        table: packChannels(table, dim),
        vectors: packChannels(vectors, rows),
        dy: storage.array(packChannels(dy, dim)),
      };
      const y = storage.empty(host.dy.length);
      const dtable = new Float32Array(host.table.length).fill(NaN);
      const shape = { batch, rows, dim };
      await storage.run([
        ...vectorEmbeddingForward<HostArray>(shape, { table: host.table, vectors: host.vectors, y }),
        ...vectorEmbeddingBackward<HostArray>(shape, { vectors: host.vectors, dy: host.dy, dtable }),
      ]);
      const want = vectorEmbeddingReference(table, vectors, rows, dim);
      assertClose(unpackChannels(y, dim), want, storage.stored({ absolute: 2e-6 }), "y");
      // Up to 130 float32 additions, sums up to 10.
      const gradient = vectorEmbeddingGradientReference(vectors, dy, rows, dim);
      assertClose(unpackChannels(dtable, dim), gradient, { absolute: 2e-5 }, "dtable");
    });
  }
}
