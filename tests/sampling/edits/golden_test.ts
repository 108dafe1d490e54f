import assert from "node:assert/strict";
import { inversionSteps } from "../../../lib/diffusion/inversion.ts";
import { withJumps } from "../../../lib/diffusion/repaint.ts";
import { type PlannedStep, planSampling } from "../../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { createBuffer, destroyBuffer } from "../../../lib/gpu/memory.ts";
import { Generator } from "../../../lib/sampling/generator.ts";
import type { SlotImage } from "../../../lib/sampling/slot_image.ts";
import { readModel } from "../../../lib/sampling/read_model.ts";
import { exceptDigests } from "../../support/digest_warning.ts";
import { testGpu } from "../../support/gpu.ts";
import { PIPELINE } from "../../support/tiny_pipeline.ts";

interface Run {
  readonly config: Readonly<Record<string, unknown>>;
  readonly label: number;
  readonly image: readonly number[];
  readonly states: readonly { readonly max: number; readonly x: readonly number[] }[];
}

const { network }: {
  readonly network: {
    readonly repaint: Run & { readonly jump: number; readonly resamplings: number; readonly seed: number };
    readonly inversion: Run & { readonly steps: number };
  };
} = JSON.parse(await Deno.readTextFile(new URL("../../golden/edits.json", import.meta.url)));

/** Deviation from float64 as a share of the largest value; measured 7e-7 on llvmpipe. */
const TOLERANCE = 5e-6;

/** Draws an image with the golden pipeline's network and compares `x` after each step with a run of diffusers. */
async function follow(plan: readonly PlannedStep[], image: SlotImage, { states }: Run): Promise<void> {
  const gpu = await testGpu();
  const { config, flat } = await readModel(PIPELINE, "float32", { onWarning: exceptDigests(assert.fail) });
  const weights = createBuffer(gpu, flat.byteLength, "weights");
  gpu.device.queue.writeBuffer(weights, 0, flat);
  const generator = await Generator.build(gpu, { config, weights, slots: 1 });
  const { noisy } = await generator.draw([image], plan, { previewAt: plan.map((_, k) => k) });
  assert.equal(noisy.length, states.length - 1);
  for (const [k, x] of noisy.entries()) {
    const expected = states[k + 1];
    const stride = x.length / expected.x.length;
    const worst = Math.max(...expected.x.map((value, i) => Math.abs(x[stride * i] - value))) / expected.max;
    assert.ok(worst < TOLERANCE, `step ${k}: off by ${worst} of the largest value`);
  }
  generator.destroy();
  destroyBuffer(gpu, weights);
}

Deno.test("on the device, inpainting with jumps follows diffusers' RePaintScheduler at every evaluation", () => {
  const { config, jump, resamplings, label, seed, image } = network.repaint;
  const { eta, ...rest } = config;
  const schedule = NoiseSchedule.fromDiffusers(rest);
  const plan = planSampling("ddim", schedule, { steps: schedule.betas.length, eta: eta as number });
  const mask = Float32Array.from({ length: 64 }, (_, pixel) => Number(pixel >= 32)); // the upper half is kept
  const known = { image: Float32Array.from(image), mask };
  return follow(withJumps(plan, jump, resamplings), { label, seed, guidance: 1, known }, network.repaint);
});

Deno.test("on the device, inversion follows diffusers' DDIMInverseScheduler with the network at the level of x", () => {
  const { config, steps, label, image } = network.inversion;
  const process = NoiseSchedule.fromDiffusers(config);
  const up = inversionSteps(process, planSampling("ddim", process, { steps, clip: false }));
  const start = Float32Array.from(image, (value) => up[0].level.signal * value);
  return follow(up, { label, seed: 0, guidance: 1, start }, network.inversion);
});
