/** Launches of several layers in one dispatch. */
import assert from "node:assert/strict";
import { SUM_PARTS } from "../../../kernels/products/conv2d_weight_source.ts";
import { type ItemKernel, itemLaunch, type ItemWork } from "../../../kernels/products/items.ts";
import { WEIGHT_TRANSFORM } from "../../../kernels/products/winograd_source.ts";
import { noise } from "../../reference/differences.ts";
import { type HostArray, runOnArrays, testGpu } from "../../support/gpu.ts";
import { assertSame } from "../../support/same.ts";

/** Layer: its work, and the floats that it reads and writes. */
interface Layer {
  readonly work: ItemWork;
  readonly reads: number;
  readonly writes: number;
}

// A record covers 1024 items.
const weights = [16, 1024, 2500, 1].map((items): Layer => {
  return { work: { items, parts: 1 }, reads: 9 * items, writes: 36 * items };
});
const parts = [[3, 1], [1024, 2], [1040, 8], [64, 9], [100, 26]].map(([items, parts]): Layer => {
  return { work: { items, parts }, reads: 4 * items * parts, writes: 4 * items };
});

/** Floats between layers, which no layer may write. */
const GAP = 64;

for (const [kernel, layers] of [[WEIGHT_TRANSFORM, weights], [SUM_PARTS, parts]] as const) {
  Deno.test(`${kernel.name} of several layers in one dispatch has the bits of a dispatch per layer`, async () => {
    await compareLaunches(kernel, layers);
  });
}

async function compareLaunches(kernel: ItemKernel, layers: readonly Layer[]): Promise<void> {
  const gpu = await testGpu();
  const label = { label: "test", combines: true };
  const own = layers.map(({ reads, writes }, i) => ({
    [kernel.source]: Float32Array.from(noise(reads, i)),
    [kernel.result]: new Float32Array(writes).fill(NaN),
  }));
  const single = layers.map(({ work }, i) => itemLaunch<HostArray>(kernel, work, own[i]!, label));
  await runOnArrays(gpu, single);

  const place = (count: (layer: Layer) => number) => {
    let end = GAP;
    return layers.map((layer) => {
      const first = end;
      end = GAP * Math.ceil((first + count(layer)) / GAP + 1);
      return { first, end };
    });
  };
  const [from, to] = [place(({ reads }) => reads), place(({ writes }) => writes)];
  // Results need not be in the order of the operands.
  const total = to.at(-1)!.end;
  const starts = to.map(({ first }, i) => total - first - GAP * Math.ceil(layers[i]!.writes / GAP));
  const read = new Float32Array(from.at(-1)!.end).fill(NaN);
  own.forEach((buffers, i) => read.set(buffers[kernel.source]!, from[i]!.first));
  const written = new Float32Array(total).fill(NaN);
  const want = written.slice();
  own.forEach((buffers, i) => want.set(buffers[kernel.result]!, starts[i]));

  const { records, bind } = single[0]!.combine!(single.map(({ params }, i) => ({
    params,
    offsets: { [kernel.source]: 4 * from[i]!.first, [kernel.result]: 4 * starts[i]! },
  })));
  await runOnArrays(gpu, [bind<HostArray>(records, { [kernel.source]: read, [kernel.result]: written })]);
  assert.ok(want.some(Number.isFinite));
  assertSame(written, want, kernel.result);
}

Deno.test("launches for a software adapter stay alone", () => {
  const buffers = { parts: 0, dw: 1 };
  const launch = itemLaunch(SUM_PARTS, { items: 8, parts: 2 }, buffers, { label: "test", combines: false });
  assert.equal(launch.combine, undefined);
});
