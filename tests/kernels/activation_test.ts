import assert from "node:assert/strict";
import { activationBackward, activationForward } from "../../kernels/activation.ts";
import { type Activation, ACTIVATIONS, withActivation } from "../../kernels/activation_source.ts";
import { addKernel } from "../../kernels/sources.ts";
import { assertClose, type Tolerance } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { differences, noise } from "../reference/differences.ts";
import { activationGradientReference, activationReference } from "../reference/activation.ts";
import { FLOAT32, type Storage, STORAGES } from "../support/storage.ts";

// WGSL allows exp an error of 3 + 2|x| units in the last place (6e-8), which the product with x keeps relative.
const ROUNDING: Tolerance = { absolute: 1e-6, relative: 1e-6 };

for (const activation of ACTIVATIONS) {
  Deno.test(`${activation} reference gradient matches central differences`, () => {
    const x = noise(20, 1).map((v) => 4 * v);
    const dy = noise(20, 2);
    const got = activationGradientReference(activation, x, dy);
    const of = () => activationReference(activation, x);
    assertClose(got, differences(of, x, dy), { absolute: 1e-7 }, "dx");
  });
}

async function run(
  activation: Activation,
  storage: Storage,
  x: Float64Array,
  dy: Float64Array,
  addend?: Float64Array,
) {
  const [y, dx] = [x, x].map(({ length }) => storage.empty(length));
  const host = { x: storage.array(x), dy: storage.array(dy) };
  const shape = { elements: x.length, activation };
  await storage.run([
    ...activationForward<HostArray>(shape, { x: host.x, y }),
    ...activationBackward<HostArray>(shape, {
      ...host,
      addend: addend && storage.array(addend),
      dx,
    }),
  ]);
  return { y, dx };
}

for (const storage of STORAGES) {
  const tolerance = storage.stored(ROUNDING);

  for (const activation of ACTIVATIONS) {
    for (const elements of activation === "silu" ? [4, 1020, 4096, 16 * 4096 + 12] : [1020]) {
      const name = `${activation} forward and backward match reference: x=[${elements}]${storage.suffix}`;
      Deno.test(name, async () => {
        const x = storage.rounded(noise(elements, 3).map((v) => 8 * v));
        const dy = storage.rounded(noise(elements, 4));
        const { y, dx } = await run(activation, storage, x, dy);
        assertClose(y, activationReference(activation, x), tolerance, "y");
        assertClose(dx, activationGradientReference(activation, x, dy), tolerance, "dx");
      });
    }
  }

  Deno.test(`the gradient of an activation adds to the gradient so far: x=[64]${storage.suffix}`, async () => {
    const [x, dy, addend] = [5, 6, 7].map((seed) => storage.rounded(noise(64, seed)));
    const { dx } = await run("silu", storage, x, dy, addend);
    const want = activationGradientReference("silu", x, dy).map((v, i) => v + addend[i]);
    assertClose(dx, want, tolerance, "dx");
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
  const { y, dx } = await run("silu", FLOAT32, x, x.map(() => 1));
  for (const [i, want] of activationReference("silu", x).entries()) {
    // Far below zero it is next to nothing of x, where the reference is less.
    const bound = x[i] < -87 ? 2e-38 * Math.abs(x[i]) : 1e-4 * Math.abs(want);
    assert.ok(Math.abs(y[i] - want) <= bound, `silu(${x[i]}): got ${y[i]}, expected ${want}`);
  }
  const slopes = [0.5, 0.5, 1, 1, 0, 1, 1, 1, 1, 0.5, 0.5, 0, 0, 0, 0, 0];
  assertClose(dx, slopes, { absolute: 1e-6 }, "dx");
});

Deno.test("other activations stay finite and close at extreme values, and are 0 at 0", async () => {
  const x = Float64Array.of(0, -0, 20, 30, -30, 86, -86, 1e4, -1e4, 3e38, -3e38, 6);
  for (const activation of ["mish", "gelu", "relu"] as const) {
    const { y, dx } = await run(activation, FLOAT32, x, x.map(() => 1));
    assert.deepEqual([...y.slice(0, 2)].map(Math.abs), [0, 0]);
    const relative = { absolute: 1e-6, relative: 1e-6 };
    assertClose(y, activationReference(activation, x), relative, `${activation} y`);
    const slopes = activationGradientReference(activation, x, x.map(() => 1));
    assertClose(dx, slopes.map((slope) => Number.isFinite(slope) ? slope : 0), relative, `${activation} dx`);
  }
});

Deno.test("an activation of what is not finite is not finite, so that a loss tells of it", async () => {
  const x = Float64Array.of(NaN, Infinity, -Infinity, 1);
  for (const activation of ACTIVATIONS) {
    const { y } = await run(activation, FLOAT32, x, x.map(() => 1));
    // The smallest value of ReLU is 0, as in PyTorch.
    const expected = [false, false, activation === "relu", true];
    assert.deepEqual(Array.from(y, Number.isFinite), expected, `${activation}: ${y}`);
  }
});

Deno.test("a kernel without an activation has no variants with one", () => {
  assert.equal(withActivation(addKernel, "silu"), addKernel);
  assert.throws(() => withActivation(addKernel, "mish"), /^RangeError: kernel add has no activation/);
});
