import assert from "node:assert/strict";
import { siluBackward, siluForward } from "../../kernels/silu.ts";
import { assertClose, type Tolerance } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { differences, noise } from "../reference/differences.ts";
import { siluGradientReference, siluReference } from "../reference/silu.ts";
import { FLOAT32, type Storage, STORAGES } from "../support/storage.ts";

// WGSL allows exp an error of 3 + 2|x| units in the last place (6e-8), which the product with x keeps relative.
const ROUNDING: Tolerance = { absolute: 1e-6, relative: 1e-6 };

Deno.test("silu reference gradient matches central differences", () => {
  const x = noise(20, 1).map((v) => 4 * v);
  const dy = noise(20, 2);
  const got = siluGradientReference(x, dy);
  assertClose(got, differences(() => siluReference(x), x, dy), { absolute: 1e-7 }, "dx");
});

async function runSilu(storage: Storage, x: Float64Array, dy: Float64Array, addend?: Float64Array) {
  const [y, dx] = [x, x].map(({ length }) => storage.empty(length));
  const host = { x: storage.array(x), dy: storage.array(dy) };
  await storage.run([
    ...siluForward<HostArray>({ elements: x.length }, { x: host.x, y }),
    ...siluBackward<HostArray>({ elements: x.length }, {
      ...host,
      addend: addend && storage.array(addend),
      dx,
    }),
  ]);
  return { y, dx };
}

for (const storage of STORAGES) {
  const tolerance = storage.stored(ROUNDING);

  for (const elements of [4, 1020, 4096, 16 * 4096 + 12]) {
    Deno.test(`silu forward and backward match reference: x=[${elements}]${storage.suffix}`, async () => {
      const x = storage.rounded(noise(elements, 3).map((v) => 8 * v));
      const dy = storage.rounded(noise(elements, 4));
      const { y, dx } = await runSilu(storage, x, dy);
      assertClose(y, siluReference(x), tolerance, "y");
      assertClose(dx, siluGradientReference(x, dy), tolerance, "dx");
    });
  }

  Deno.test(`silu backward adds to the gradient so far: x=[64]${storage.suffix}`, async () => {
    const [x, dy, addend] = [5, 6, 7].map((seed) => storage.rounded(noise(64, seed)));
    const { dx } = await runSilu(storage, x, dy, addend);
    assertClose(dx, siluGradientReference(x, dy).map((v, i) => v + addend[i]), tolerance, "dx");
  });
}

Deno.test("silu stays finite and exact at extreme values and zero", async () => {
  const x = Float64Array.of(
    0,
    -0,
    1e4,
    86,
    -86,
    87,
    88,
    104,
    3e38,
    1e-30,
    -1e-30,
    -1e4,
    -88,
    -104,
    -3e38,
    -87.5,
  );
  const { y, dx } = await runSilu(FLOAT32, x, x.map(() => 1));
  for (const [i, want] of siluReference(x).entries()) {
    // Far below zero it is next to nothing of x, where the reference is less.
    const bound = x[i] < -87 ? 2e-38 * Math.abs(x[i]) : 1e-4 * Math.abs(want);
    assert.ok(Math.abs(y[i] - want) <= bound, `silu(${x[i]}): got ${y[i]}, expected ${want}`);
  }
  const slopes = [0.5, 0.5, 1, 1, 0, 1, 1, 1, 1, 0.5, 0.5, 0, 0, 0, 0, 0];
  assertClose(dx, slopes, { absolute: 1e-6 }, "dx");
});

Deno.test("silu of what is not finite is not finite, so that a loss tells of it", async () => {
  const x = Float64Array.of(NaN, Infinity, -Infinity, 1);
  const { y } = await runSilu(FLOAT32, x, x.map(() => 1));
  assert.deepEqual(Array.from(y, Number.isFinite), [false, false, false, true], `${y}`);
});
