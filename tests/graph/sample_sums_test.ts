/** Gradients that are sums over samples, added up after the last node. */
import assert from "node:assert/strict";
import { type BufferView, ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { readBack } from "../../lib/gpu/readback.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { SampleSums } from "../../lib/graph/sample_sums.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { noise } from "../reference/differences.ts";
import { assertClose } from "../support/close.ts";
import { testGpu } from "../support/gpu.ts";

const ROWS = 5;
const CHANNELS = [6, 20, 4, 70];

/** Sums of two layers with two gradients each; where the gradients lie is up to `place`. */
async function sums(
  place: (scope: ResourceScope, gradients: Tensor[]) => BufferView[],
  limit?: number,
): Promise<number> {
  const gpu = await testGpu();
  const g = new Graph();
  const gradients = CHANNELS.map((channels, i) => g.tensor(`d${i}`, [1, 1, 1, channels], "gradient", false));
  const deferred = new SampleSums(g);
  const layers = [gradients.slice(0, 2), gradients.slice(2)].map((ofLayer, i) => ({
    ofLayer,
    values: deferred.request(`layer ${i}`, ROWS, ofLayer),
  }));
  const scope = new ResourceScope(gpu, "test");
  return await scope.guard(async () => {
    const placed = place(scope, gradients);
    const views: Map<Tensor, BufferView> = deferred.views(scope.buffer(deferred.all!.bytes, "values"));
    gradients.forEach((gradient, i) => views.set(gradient, placed[i]!));
    const want = layers.flatMap(({ ofLayer, values }, layer) => {
      const { buffer, offset } = views.get(values)!;
      const contributions = Float32Array.from(noise(values.elements, layer));
      gpu.device.queue.writeBuffer(buffer, offset, contributions);
      const [stride, before] = [ofLayer[0]!.elements + ofLayer[1]!.elements, ofLayer[0]!.elements];
      return ofLayer.map(({ elements }, i) =>
        Float64Array.from({ length: elements }, (_, c) => {
          const column = i * before + c;
          return Array.from({ length: ROWS }, (_, row) => contributions[row * stride + column]!)
            .reduce((a, b) => a + b);
        })
      );
    });
    const launches = deferred.launches(gpu, scope, (tensor) => views.get(tensor)!, limit);
    scope.own(await buildProgram(gpu, launches)).run();
    const read = await readBack(gpu, placed);
    read.forEach((bytes, i) => assertClose(new Float32Array(bytes), want[i]!, { absolute: 1e-6 }, `d${i}`));
    scope.destroy();
    return launches.length;
  });
}

/** Gradients in one buffer, the last first, as in a backward pass. */
function flat(scope: ResourceScope, gradients: Tensor[]): BufferView[] {
  const { buffer } = scope.buffer(256 * gradients.length * 2, "gradients");
  return gradients.map(({ bytes }, i) => ({
    buffer,
    offset: 512 * (gradients.length - 1 - i),
    size: bytes,
  }));
}

Deno.test("all sums over samples take one dispatch where the gradients are slices of one buffer", async () => {
  assert.equal(await sums(flat), 1);
});

Deno.test("sums over samples take one dispatch per buffer of gradients", async () => {
  const launches = await sums((scope, gradients) =>
    gradients.map(({ bytes }) => scope.buffer(bytes, "gradient"))
  );
  assert.equal(launches, CHANNELS.length);
});

Deno.test("sums over samples take more dispatches where a binding cannot hold all gradients", async () => {
  assert.equal(await sums(flat, 1024), 3);
});

Deno.test("a graph without sums over samples has no dispatch and no memory for them", async () => {
  const gpu = await testGpu();
  const deferred = new SampleSums(new Graph());
  const scope = new ResourceScope(gpu, "test");
  const { used } = gpu.memory;
  assert.equal(deferred.all, undefined);
  assert.deepEqual(deferred.launches(gpu, scope, () => assert.fail()), []);
  assert.equal(gpu.memory.used, used);
});
