import { siluBackward, siluForward } from "../../kernels/silu.ts";
import { assertClose, type Tolerance } from "../close.ts";
import { type HostArray, runOnArrays, testGpu } from "../gpu.ts";
import { differences, noise } from "../reference/differences.ts";
import { siluGradientReference, siluReference } from "../reference/silu.ts";

// WGSL allows exp an error of 3 + 2|x| units in the last place (6e-8), which the product with x keeps relative.
const ROUNDING: Tolerance = { absolute: 1e-6, relative: 1e-6 };

Deno.test("silu reference gradient matches central differences", () => {
  const x = noise(20, 1).map((v) => 4 * v);
  const dy = noise(20, 2);
  const got = siluGradientReference(x, dy);
  assertClose(got, differences(() => siluReference(x), x, dy), { absolute: 1e-7 }, "dx");
});

async function runSilu(x: Float64Array, dy: Float64Array, addend?: Float64Array) {
  const [y, dx] = [x, x].map(({ length }) => new Float32Array(length).fill(NaN));
  const host = { x: Float32Array.from(x), dy: Float32Array.from(dy) };
  await runOnArrays(await testGpu(), [
    ...siluForward<HostArray>({ elements: x.length }, { x: host.x, y }),
    ...siluBackward<HostArray>({ elements: x.length }, {
      ...host,
      addend: addend && Float32Array.from(addend),
      dx,
    }),
  ]);
  return { y, dx };
}

for (const elements of [4, 1020, 4096, 16 * 4096 + 12]) {
  Deno.test(`silu forward and backward match reference: x=[${elements}]`, async () => {
    const x = noise(elements, 3).map((v) => 8 * v);
    const dy = noise(elements, 4);
    const { y, dx } = await runSilu(x, dy);
    assertClose(y, siluReference(x), ROUNDING, "y");
    assertClose(dx, siluGradientReference(x, dy), ROUNDING, "dx");
  });
}

Deno.test("silu stays finite and exact at extreme values and zero", async () => {
  const x = Float64Array.of(0, -0, 1e4, -1e4, 88, -88, 104, -104, 3e38, -3e38, 1e-30, -1e-30);
  const { y, dx } = await runSilu(x, x.map(() => 1));
  assertClose(
    y.map((v, i) => v / Math.max(1, Math.abs(x[i]))),
    siluReference(x).map((v, i) => v / Math.max(1, Math.abs(x[i]))),
    { absolute: 1e-7 },
    "y / |x|",
  );
  const slopes = [0.5, 0.5, 1, 0, 1, 0, 1, 0, 1, 0, 0.5, 0.5];
  assertClose(dx, slopes, { absolute: 1e-6 }, "dx");
});

Deno.test("silu backward adds to the gradient so far: x=[64]", async () => {
  const [x, dy, addend] = [noise(64, 5), noise(64, 6), noise(64, 7)];
  const { dx } = await runSilu(x, dy, addend);
  assertClose(dx, siluGradientReference(x, dy).map((v, i) => v + addend[i]), ROUNDING, "dx");
});
