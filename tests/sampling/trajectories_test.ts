import assert from "node:assert/strict";
import { samplerFromDiffusers } from "../../lib/diffusion/diffusers_sampler.ts";
import { planSampling } from "../../lib/diffusion/sampler.ts";
import { processFromDiffusers } from "../../lib/diffusion/trained_process.ts";
import { createBuffer, destroyBuffer } from "../../lib/gpu/memory.ts";
import { Generator } from "../../lib/sampling/generator.ts";
import { readModel } from "../../lib/sampling/read_model.ts";
import { exceptDigests } from "../support/digest_warning.ts";
import { testGpu } from "../support/gpu.ts";
import { PIPELINE } from "../support/tiny_pipeline.ts";

interface Trajectory {
  readonly steps: number;
  readonly label: number;
  readonly seed: number;
  readonly config: Readonly<Record<string, unknown>>;
  readonly recorded: readonly { readonly max: number; readonly x: readonly number[] }[];
}

const { trajectories }: { trajectories: Readonly<Record<string, Trajectory>> } = JSON.parse(
  await Deno.readTextFile(new URL("../golden/trajectories.json", import.meta.url)),
);

/** The worst, Heun on rectified flow, is off by 1.2e-5 of the largest value in float32 on llvmpipe; most by less than 2e-6. */
const TOLERANCE = 5e-5;

for (const [name, run] of Object.entries(trajectories)) {
  Deno.test(`on the device, a loaded model draws what diffusers draws with its own scheduler, at every step: ${name}`, async () => {
    const gpu = await testGpu();
    const { config, flat } = await readModel(PIPELINE, "float32", { onWarning: exceptDigests(assert.fail) });
    const weights = createBuffer(gpu, flat.byteLength, "weights");
    gpu.device.queue.writeBuffer(weights, 0, flat);
    const notes: string[] = [];
    const process = processFromDiffusers(run.config, (note) => notes.push(note));
    const { sampler, spacing } = samplerFromDiffusers(run.config, (note) => notes.push(note)) ??
      { sampler: name as "ddpm" | "ddim", spacing: undefined };
    assert.deepEqual([notes, sampler], [
      [],
      name.replace(/^(edm|flow) | (karras|log-snr|x0 exponential)$/g, ""),
    ]);
    const plan = planSampling(sampler, process, { steps: run.steps, spacing });
    assert.equal(plan.length, run.recorded.length);
    const generator = await Generator.build(gpu, { config, weights, slots: 1 });
    const { noisy } = await generator.draw([{ label: run.label, seed: run.seed, guidance: 1 }], plan, {
      previewAt: plan.map((_, k) => k),
    });
    let worst = 0;
    for (const [k, { max, x }] of run.recorded.entries()) {
      const stride = k === plan.length - 1 ? 1 : 8;
      assert.equal(x.length, noisy[k].length / stride);
      for (const [i, value] of x.entries()) {
        worst = Math.max(worst, Math.abs(noisy[k][stride * i] - value) / max);
      }
      assert.ok(worst < TOLERANCE, `step ${k}: off by ${worst} of the largest value`);
    }
    generator.destroy();
    destroyBuffer(gpu, weights);
  });
}
