import assert from "node:assert/strict";
import { embeddingBackward, embeddingForward } from "../../kernels/embedding.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { differences, noise } from "../reference/differences.ts";
import { embeddingGradientReference, embeddingReference } from "../reference/embedding.ts";
import { FLOAT32, type Storage, STORAGES } from "../support/storage.ts";

Deno.test("embedding reference gradient matches central differences", () => {
  const labels = [2, 0, 2];
  const [table, dy] = [noise(4 * 3, 1), noise(3 * 3, 2)];
  const want = differences(() => embeddingReference(table, labels, 3), table, dy);
  // The function is linear, so differences are exact up to float64.
  assertClose(embeddingGradientReference(labels, dy, 4, 3), want, { absolute: 1e-10 }, "dtable");
});

async function runEmbedding(
  storage: Storage,
  labels: number[],
  rows: number,
  dim: number,
  floatLabels = false,
) {
  const [table, dy] = [noise(rows * dim, 3), storage.rounded(noise(labels.length * dim, 4))];
  const host = {
    table: packChannels(table, dim),
    dy: storage.array(packChannels(dy, dim)),
    labels: floatLabels ? Float32Array.from(labels) : Uint32Array.from(labels),
  };
  const y = storage.empty(host.dy.length);
  const dtable = new Float32Array(host.table.length).fill(NaN);
  const shape = { batch: labels.length, dim, rows, floatLabels };
  await storage.run([
    ...embeddingForward<HostArray>(shape, { table: host.table, labels: host.labels, y }),
    ...embeddingBackward<HostArray>(shape, { labels: host.labels, dy: host.dy, dtable }),
  ]);
  return { table, dy, y: unpackChannels(y, dim), dtable: unpackChannels(dtable, dim) };
}

const SHAPES = [[1, 1, 1], [5, 11, 6], [16, 11, 128], [100, 3, 9]];
const CASES = STORAGES.flatMap((storage) => SHAPES.map((shape) => ({ storage, shape })));
for (const { storage, shape: [batch, rows, dim] } of CASES) {
  const name = `table=[${rows},${dim}] labels=[${batch}]${storage.suffix}`;
  Deno.test(`embedding forward and backward match reference: ${name}`, async () => {
    // Row rows - 2 is never named where there are more than two.
    const labels = Array.from({ length: batch }, (_, n) => (n * 7 + 3) % rows).map((r) =>
      rows > 2 && r === rows - 2 ? 0 : r
    );
    const { table, dy, y, dtable } = await runEmbedding(storage, labels, rows, dim);
    assert.deepEqual([...y], [...storage.rounded(embeddingReference(table, labels, dim))]);
    // Up to 100 float32 additions of values below 1.
    const want = embeddingGradientReference(labels, dy, rows, dim);
    assertClose(dtable, want, { absolute: 3e-6 }, "dtable");
    if (rows > 2) {
      assert.ok(dtable.subarray((rows - 2) * dim, (rows - 1) * dim).every((v) => v === 0), "an unused row");
    }
  });
}

Deno.test("embedding takes a label beyond the table for its last row", async () => {
  const { table, dy, y, dtable } = await runEmbedding(FLOAT32, [0, 7], 3, 4);
  assert.deepEqual([...y], [...embeddingReference(table, [0, 2], 4)]);
  assert.deepEqual([...dtable], [...embeddingGradientReference([0, 2], dy, 3, 4)]);
});

Deno.test("embedding takes labels in float32, as timesteps are, rounded", async () => {
  const labels = [0, 999, 500.4, 7, 7];
  const { table, dy, y, dtable } = await runEmbedding(FLOAT32, labels, 1000, 4, true);
  const whole = labels.map(Math.round);
  assert.deepEqual([...y], [...embeddingReference(table, whole, 4)]);
  assert.deepEqual([...dtable], [...embeddingGradientReference(whole, dy, 1000, 4).map(Math.fround)]);
});
