import assert from "node:assert/strict";
import { planSampling } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { createBuffer, destroyBuffer } from "../../lib/gpu/memory.ts";
import { type UNetConfig, unetConfig } from "../../lib/model/config.ts";
import { unetParameters } from "../../lib/model/network.ts";
import { Generator } from "../../lib/sampling/generator.ts";
import { RunningBatch } from "../../lib/sampling/running_batch.ts";
import type { GuideNetwork } from "../../lib/sampling/guidable.ts";
import type { SlotImage } from "../../lib/sampling/slot_image.ts";
import { goldenWeights } from "../golden/tensors.ts";
import { assertClose } from "../support/close.ts";
import { testGpu } from "../support/gpu.ts";
import { CLASS_NETWORK, CLASSES } from "../support/networks.ts";

/** A smaller network than {@linkcode CLASS_NETWORK}. */
const WEAKER = unetConfig({ ...CLASS_NETWORK, blockOutChannels: [4, 8], attentionHeadDim: 4 });

const schedule = new NoiseSchedule();
const ddim = planSampling("ddim", schedule, { steps: 3 });
/** Without clipping, the result of a step is linear in the output. */
const linear = planSampling("ddim", schedule, { steps: 1, clip: false });
const IMAGE = 8 * 4 * 3;

type Draw = (images: readonly SlotImage[], plan?: typeof ddim) => Promise<Float32Array[]>;

/** Draws with a network, guided or not. */
async function withNetworks(
  body: (draw: { main: Draw; weak: Draw; guided: Draw }, gpu: Gpu, guide: GuideNetwork) => Promise<void>,
  weaker = WEAKER,
  name = "weaker",
): Promise<void> {
  const gpu = await testGpu();
  const before = gpu.memory.used;
  const load = (config: UNetConfig, name: string) => {
    const table = unetParameters(config);
    const weights = createBuffer(gpu, 4 * table.elements, "weights");
    gpu.device.queue.writeBuffer(weights, 0, goldenWeights(name, table));
    return { config, weights };
  };
  const [main, guide] = [load(CLASS_NETWORK, "generator"), load(weaker, name)];
  const drawWith =
    (network: GuideNetwork & { guide?: GuideNetwork }): Draw => async (images, plan = ddim) => {
      const generator = await Generator.build(gpu, { ...network, slots: images.length, imageRows: 2 });
      const { images: data } = await generator.draw(images, plan);
      generator.destroy();
      return images.map((_, i) => data.slice(i * IMAGE, (i + 1) * IMAGE));
    };
  const draw = { main: drawWith(main), weak: drawWith(guide), guided: drawWith({ ...main, guide }) };
  await body(draw, gpu, guide);
  for (const { weights } of [main, guide]) destroyBuffer(gpu, weights);
  assert.equal(gpu.memory.used, before, "something was not freed");
}

const MIXTURE = [{ label: 1, weight: 0.25 }, { label: 4, weight: 0.75 }];

Deno.test("the output is the weaker network's and the scale times the difference of the main one's from it", () =>
  withNetworks(async ({ main, weak, guided }) => {
    const images: SlotImage[] = [
      { label: 2, seed: 5, guidance: 3 },
      { label: CLASSES, seed: 6, guidance: 1.5 },
      { label: MIXTURE, seed: 7, guidance: 2 },
      { label: 2, seed: 8, guidance: 0 },
      { label: 2, seed: 9, guidance: 2, negative: 4 },
    ];
    const plain = images.map(({ label, seed }) => ({ label, seed, guidance: 1 }));
    const away = plain.map((image, i) => ({ ...image, label: images[i].negative ?? image.label }));
    const [strong, poor] = [await main(plain, linear), await weak(away, linear)];
    const together = await guided(images, linear);
    for (const [i, { guidance }] of images.entries()) {
      const expected = strong[i].map((value, at) => poor[i][at] + guidance * (value - poor[i][at]));
      const largest = Math.max(...expected.map(Math.abs));
      assertClose(together[i], expected, { absolute: 2e-6 * largest }, `image ${i}`);
    }
  }));

Deno.test("autoguidance of scale 1, or at no noise level, is the main network to the bit", () =>
  withNetworks(async ({ main, guided }) => {
    const [plain] = await main([{ label: 2, seed: 5, guidance: 1 }]);
    const nowhere = { label: 2, seed: 5, guidance: 3, guidanceInterval: [1e6, 1e7] as const };
    assert.deepEqual(await guided([{ label: 2, seed: 5, guidance: 1 }, nowhere]), [plain, plain]);
  }));

Deno.test("a network that guides itself is no guidance, within rounding", () =>
  withNetworks(
    async ({ main, guided }) => {
      const [plain] = await main([{ label: 2, seed: 5, guidance: 1 }]);
      const [own] = await guided([{ label: 2, seed: 5, guidance: 3, guidanceRescale: 0.7 }]);
      assertClose(own, plain, { absolute: 2e-4 }, "image");
    },
    CLASS_NETWORK,
    "generator",
  ));

Deno.test("an image has the same bits alone and beside others in a running batch with a guide", () =>
  withNetworks(async ({ guided }, gpu, guide) => {
    const table = unetParameters(CLASS_NETWORK);
    const weights = createBuffer(gpu, 4 * table.elements, "weights");
    gpu.device.queue.writeBuffer(weights, 0, goldenWeights("generator", table));
    const batch = await RunningBatch.build(gpu, { config: CLASS_NETWORK, schedule, weights, guide, rows: 5 });
    const sigmas = ddim.map(({ noiseRatio }) => noiseRatio);
    const images: SlotImage[] = [
      { label: 2, seed: 5, guidance: 3 },
      { label: 3, seed: 6, guidance: 1 },
      { label: MIXTURE, seed: 7, guidance: 2, guidanceRescale: 0.7 },
      { label: 2, seed: 8, guidance: 4, guidanceInterval: [sigmas[2], sigmas[1]] },
    ];
    const finished = new Map<number, Float32Array>();
    const job = { sampler: "ddim", steps: 3, eta: undefined } as const;
    for (const [id, image] of images.entries()) {
      batch.add({ ...image, ...job, id });
      for (const { id, data } of (await batch.turn(0)).finished) finished.set(id, data);
    }
    assert.ok(batch.rowsInUse <= 5);
    while (batch.size > 0) for (const { id, data } of (await batch.turn(0)).finished) finished.set(id, data);
    for (const [id, image] of images.entries()) {
      assert.deepEqual([finished.get(id)], await guided([image]), `${id}`);
    }
    batch.destroy();
    destroyBuffer(gpu, weights);
  }));
