import assert from "node:assert/strict";
import { planSampling, type SamplerName, samplerNames } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule, type VarianceType } from "../../lib/diffusion/schedule.ts";
import { createBuffer, destroyBuffer } from "../../lib/gpu/memory.ts";
import { unetConfig } from "../../lib/model/config.ts";
import { unetParameters } from "../../lib/model/network.ts";
import type { DiffusionModel } from "../../lib/sampling/diffusion_model.ts";
import { Generator } from "../../lib/sampling/generator.ts";
import { goldenWeights } from "../golden/tensors.ts";
import { testGpu } from "../support/gpu.ts";
import { CLASS_NETWORK } from "../support/networks.ts";
import { withScheduler } from "../support/scheduled_model.ts";

for (
  const [objective, scheduler] of [
    ["epsilon", undefined],
    ["v", { _class_name: "DDIMScheduler", prediction_type: "v_prediction" }],
    ["x0", { _class_name: "DDPMScheduler", prediction_type: "sample" }],
    ["flow", { _class_name: "FlowMatchEulerDiscreteScheduler", clip_sample: true }],
    ["edm", { _class_name: "EDMEulerScheduler", clip_sample: true }],
  ] as const
) {
  Deno.test(`every sampler draws from one small model trained for objective ${objective}`, async () => {
    await withScheduler(scheduler, async (model) => {
      assert.equal(model.schedule.objective, objective);
      const drawn = new Map<SamplerName, string>();
      for (const sampler of samplerNames) {
        const images = await model.generate({ sampler, steps: 5, class: 1, seed: 5, guidance: 1 });
        assert.ok(new Set(images.pixels).size > 10, sampler);
        assert.deepEqual([images.metadata[0].sampler, images.metadata[0].steps], [sampler, 5]);
        drawn.set(sampler, images.pixels.join());
      }
      // Pairs that may be one sampler where they have the same spacing, EDM without churn.
      const alike: readonly string[] = ["heun edm", "ddim euler", "ddpm euler-ancestral"];
      for (const [i, one] of samplerNames.entries()) {
        for (const other of samplerNames.slice(i + 1)) {
          const pair = `${one} ${other}`;
          assert.ok(drawn.get(one) !== drawn.get(other) || alike.includes(pair), pair);
        }
      }
    });
  });
}

Deno.test("a model's scheduler configuration chooses sampler and spacing, and the request may choose others", async () => {
  const scheduler = { _class_name: "UniPCMultistepScheduler", use_karras_sigmas: true };
  await withScheduler(scheduler, async (model) => {
    assert.deepEqual(model.sampling, { sampler: "unipc", spacing: "karras" });
    const settings = async (options: Parameters<DiffusionModel["generate"]>[0]) => {
      const [{ sampler, spacing }] = (await model.generate({ steps: 2, ...options })).metadata;
      return [sampler, spacing];
    };
    assert.deepEqual(await settings({}), ["unipc", "karras"]);
    assert.deepEqual(await settings({ spacing: "trailing" }), ["unipc", "trailing"]);
    assert.deepEqual(await settings({ sampler: "ddim" }), ["ddim", "linspace"]);
  });
});

Deno.test("a network that predicts a variance draws by it, and as any other without", async () => {
  const config = unetConfig({ ...CLASS_NETWORK, outChannels: 6 });
  const gpu = await testGpu();
  const table = unetParameters(config);
  const weights = createBuffer(gpu, 4 * table.elements, "weights");
  gpu.device.queue.writeBuffer(weights, 0, goldenWeights("generator", table));
  const generator = await Generator.build(gpu, { config, weights, slots: 1 });
  const drawn = async (variance?: VarianceType, schedule = new NoiseSchedule()) => {
    const plan = planSampling("ddpm", schedule, { steps: 3, variance });
    const { images, noisy } = await generator.draw([{ label: 1, seed: 3, guidance: 1 }], plan, {
      previewAt: [0],
    });
    assert.ok(images.every(Number.isFinite));
    return noisy[0];
  };
  const [small, large, learned] = [
    await drawn("fixed_small"),
    await drawn("fixed_large"),
    await drawn("learned_range"),
  ];
  assert.notDeepEqual(small, learned);
  assert.notDeepEqual(large, learned);
  const file = { _class_name: "DDPMScheduler", variance_type: "learned_range" };
  assert.deepEqual(await drawn(undefined, NoiseSchedule.fromDiffusers(file)), learned, "as the file says");
  generator.destroy();
  destroyBuffer(gpu, weights);
});
