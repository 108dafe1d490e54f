import assert from "node:assert/strict";
import { encodeRows, encodeSlots, type Slot } from "../../kernels/records/sampling.ts";
import { guidance, guidanceRescale } from "../../kernels/sampler_step.ts";
import { guidanceStep } from "../../lib/diffusion/guidance.ts";
import { planSampling } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { goldenValues } from "../golden/formula.ts";
import { assertClose } from "../support/close.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";

/** Written by golden/guidance.py. */
const golden = JSON.parse(await Deno.readTextFile(new URL("../golden/guidance.json", import.meta.url))) as {
  readonly shape: readonly [number, number, number, number];
  readonly cases: readonly { readonly guidance: number; readonly rescale: number; readonly out: number[] }[];
};
const [, channels, height, width] = golden.shape;
const [coefficients] = planSampling("ddim", new NoiseSchedule(), { steps: 1 });

/** [C, H, W] as [H, W, C]. */
function channelsLast(values: ArrayLike<number>): number[] {
  const pixels = height * width;
  return Array.from(
    { length: values.length },
    (_, i) => values[i % channels * pixels + Math.floor(i / channels)],
  );
}

for (const { guidance: scale, rescale, out: expected } of golden.cases) {
  Deno.test(`guided outputs are those of diffusers: scale ${scale}, rescaled ${rescale}`, async () => {
    const image = { label: 0, guidance: scale, guidanceRescale: rescale };
    const { terms, rescale: part } = guidanceStep(image, coefficients.noiseRatio, 1);
    const slot: Slot = { step: 0, coefficients, seedLo: 0, seedHi: 0, rows: terms, rescale: part };
    const values = (name: string) => goldenValues("guidance", name, channels * height * width);
    const outputs = [values("conditional").map((value) => 1.5 * value + 0.4), values("unconditional")];
    const rows = terms.flatMap(({ label }) => channelsLast(outputs[label]));
    const out = packChannels(new Float32Array(channels * height * width), channels);
    const buffers = {
      slots: new Uint32Array(encodeSlots([slot])),
      rows: new Uint32Array(encodeRows([slot], terms.length)),
      model_out: packChannels(rows, channels),
      out,
    };
    const shape = { slots: 1, height, width, channels, outChannels: channels };
    const gpu = await testGpu();
    await runOnArrays(gpu, guidance<HostArray>(shape, buffers));
    await runOnArrays(gpu, guidanceRescale<HostArray>(shape, buffers));
    assert.equal(terms.length, scale === 0 && rescale === 0 ? 1 : 2);
    assertClose(unpackChannels(out, channels), channelsLast(expected), { absolute: 4e-6 }, "output");
  });
}
