import assert from "node:assert/strict";
import { Generator } from "../../lib/sampling/generator.ts";
import { SlotBatch } from "../../lib/sampling/slots/slot_batch.ts";
import type { SlotImage } from "../../lib/sampling/slot_image.ts";
import { planSampling } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { createBuffer, destroyBuffer } from "../../lib/gpu/memory.ts";
import { type UNetConfig, unetConfig } from "../../lib/model/config.ts";
import { unetParameters } from "../../lib/model/network.ts";
import { inPrecision, type Precision, PRECISIONS } from "../../lib/model/precision.ts";
import { assertClose } from "../support/close.ts";
import { goldenWeights } from "../golden/tensors.ts";
import { testGpu } from "../support/gpu.ts";
import { CLASS_NETWORK, CLASSES } from "../support/networks.ts";

const IMAGE = 8 * 4 * 3;

const schedule = new NoiseSchedule();
const ddpm = planSampling("ddpm", schedule, { steps: 6 });
const ddim = planSampling("ddim", schedule, { steps: 3 });

/** Runs `body` with weights on the device, then frees them. */
async function withWeights(
  config: UNetConfig,
  body: (gpu: Gpu, weights: GPUBuffer) => Promise<void>,
  precision?: Precision,
): Promise<void> {
  const gpu = await testGpu();
  const before = { used: gpu.memory.used, live: gpu.memory.live };
  const table = unetParameters(config, precision);
  const weights = createBuffer(gpu, 4 * table.elements, "weights");
  gpu.device.queue.writeBuffer(weights, 0, goldenWeights("generator", table));
  await body(gpu, weights);
  destroyBuffer(gpu, weights);
  assert.deepEqual({ used: gpu.memory.used, live: gpu.memory.live }, before, "something was not freed");
}

function request(seed: number, label: SlotImage["label"] = 1, guidance = 1, negative?: number): SlotImage {
  return { seed, label, guidance, negative };
}

/** Noise levels of the second and the second last step of {@linkcode ddpm}. */
const SECOND_TO_FOURTH = [ddpm[4].noiseRatio, ddpm[1].noiseRatio] as const;

const CAT_AND_DOG = [{ label: 3, weight: 0.6 }, { label: 4, weight: 0.4 }];

function imageOf(images: Float32Array, index: number): Float32Array {
  return images.slice(index * IMAGE, (index + 1) * IMAGE);
}

const requests = [
  request(11, 0, 2),
  request(2 ** 53 - 1, 3, 0),
  request(13, 4, 1.5),
  request(11, 1, 2),
  request(12, 0, 2),
  request(11, 0, 2, 3),
  request(11, CAT_AND_DOG, 2),
  request(11, CAT_AND_DOG, 1),
  { ...request(11, 2, 4), guidanceRescale: 0.7 },
  { ...request(11, CAT_AND_DOG, 4), guidanceInterval: SECOND_TO_FOURTH, guidanceRescale: 0.2 },
];

for (const precision of PRECISIONS) {
  Deno.test(`an image has the same bits in any slot, batch size and company${inPrecision(precision)}`, () =>
    withWeights(CLASS_NETWORK, async (gpu, weights) => {
      const build = (slots: number) =>
        Generator.build(gpu, { config: CLASS_NETWORK, weights, slots, imageRows: 3, precision });
      const [one, three, eight] = [await build(1), await build(3), await build(8)];
      const alone: Float32Array[] = [];
      for (const each of requests) alone.push((await one.draw([each], ddpm)).images);
      const drawn = {
        "three slots, four times": (await three.draw(requests, ddpm)).images,
        "eight slots, twice": (await eight.draw(requests, ddpm)).images,
        "one slot, ten times": (await one.draw(requests, ddpm)).images,
      };
      for (const [how, images] of Object.entries(drawn)) {
        requests.forEach((_, i) => assert.deepEqual(imageOf(images, i), alone[i], `image ${i}, ${how}`));
      }
      const reversed = (await three.draw([...requests].reverse(), ddpm)).images;
      requests.forEach((_, i) => assert.deepEqual(imageOf(reversed, requests.length - 1 - i), alone[i]));
      assert.ok(alone.flatMap((image) => [...image]).every(Number.isFinite));
      [one, three, eight].forEach((generator) => generator.destroy());
    }, precision));
}

Deno.test("seed, class and guidance each change the image", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 6, imageRows: 2 });
    const variants = [
      request(1, 2, 2),
      request(2, 2, 2),
      request(1 + 2 ** 32, 2, 2),
      request(1, 3, 2),
      request(1, 2, 2.5),
      request(1, CLASSES, 2),
    ];
    const { images } = await generator.draw(variants, ddim);
    const distinct = new Set(variants.map((_, i) => imageOf(images, i).join()));
    assert.equal(distinct.size, variants.length);
    generator.destroy();
  }));

/** Bits of the images of some requests. */
async function drawn(
  gpu: Gpu,
  weights: GPUBuffer,
  images: readonly SlotImage[],
  { imageRows = 3, plan = ddim }: { imageRows?: number; plan?: typeof ddim } = {},
) {
  const options = { config: CLASS_NETWORK, weights, slots: images.length, imageRows };
  const generator = await Generator.build(gpu, options);
  const { images: data } = await generator.draw(images, plan);
  generator.destroy();
  return images.map((_, i) => imageOf(data, i));
}

Deno.test("guidance of scale 1 is the unguided model, and of scale 0 the model without a class or the negative class", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const plain = await drawn(gpu, weights, [request(5, 2), request(5, CLASSES), request(5, 3)], {
      imageRows: 1,
    });
    const scaled = await drawn(gpu, weights, [request(5, 2, 1, 3), request(5, 2, 0), request(5, 2, 0, 3)]);
    assert.deepEqual(scaled, plain);
  }));

Deno.test("a mixture of one class is the class, whatever its weight, and one in parts is their sum", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const [plain, guided] = await drawn(gpu, weights, [request(5, 3), request(5, 3, 2)]);
    const whole = [{ label: 3, weight: 7 }];
    const parts = [{ label: 3, weight: 1.5 }, { label: 3, weight: 0.5 }];
    const mixed = [request(5, whole), request(5, whole, 2), request(5, parts), request(5, parts, 2)];
    assert.deepEqual(await drawn(gpu, weights, mixed), [plain, guided, plain, guided]);
  }));

Deno.test("the image's own class as the negative class is no guidance", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const [plain] = await drawn(gpu, weights, [request(5, 3)]);
    for (const guidance of [0.1, 2, 7.3]) {
      assert.deepEqual(await drawn(gpu, weights, [request(5, 3, guidance, 3)]), [plain], `scale ${guidance}`);
    }
  }));

Deno.test("an interval of all noise levels is none, an empty one is no guidance, and rescaling by 0 is none", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const of = (settings: Partial<SlotImage>) => ({ ...request(5, 3, 4), ...settings });
    const [plain, guided] = await drawn(gpu, weights, [request(5, 3), of({})]);
    const everywhere = of({ guidanceInterval: [0, Infinity] });
    const nowhere = of({ guidanceInterval: [1e6, Infinity] });
    const images = await drawn(gpu, weights, [everywhere, nowhere, of({ guidanceRescale: 0 })]);
    assert.deepEqual(images, [guided, plain, guided]);
    const unguided = { ...request(5, 3), guidanceRescale: 0.7 };
    assert.deepEqual(await drawn(gpu, weights, [unguided]), [plain]);
  }));

Deno.test("an interval is guidance in its steps and none in the others", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const image = { ...request(5, 3, 4), guidanceInterval: SECOND_TO_FOURTH };
    const [limited] = await drawn(gpu, weights, [image], { plan: ddpm });
    const levels = ddpm.map(({ noiseRatio }) => noiseRatio);
    const inside = levels.filter((sigma) => sigma > SECOND_TO_FOURTH[0] && sigma <= SECOND_TO_FOURTH[1]);
    assert.deepEqual(inside, levels.slice(1, 4));
    // The same by hand: guidance that is switched on and off between the steps.
    const batch = await SlotBatch.build(gpu, { config: CLASS_NETWORK, weights, slots: 1, rows: [2] });
    for (const [step, coefficients] of ddpm.entries()) {
      const guidance = inside.includes(coefficients.noiseRatio) ? 4 : 1;
      const { rows } = batch.step([{ ...request(5, 3, guidance), step, coefficients }]);
      assert.equal(rows, guidance === 1 ? 1 : 2);
    }
    const [byHand] = await batch.read([{ slot: 0, of: "x" }]);
    assert.deepEqual(limited, byHand);
    batch.destroy();
  }));

Deno.test("negative class, mixture and its weights, rescaling and interval each change the image", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const other = [{ label: 3, weight: 0.5 }, { label: 4, weight: 0.5 }];
    const images = await drawn(gpu, weights, [
      request(1, 3, 2),
      request(1, 3, 2, 4),
      request(1, 3, 2, 0),
      request(1, CAT_AND_DOG, 2),
      request(1, other, 2),
      request(1, CAT_AND_DOG, 2, 0),
      { ...request(1, 3, 2), guidanceRescale: 0.7 },
      { ...request(1, 3, 2), guidanceRescale: 1 },
      { ...request(1, 3, 2), guidanceInterval: [0, 1] },
    ]);
    assert.equal(new Set(images.map((image) => image.join())).size, images.length);
  }));

Deno.test("a network without classes draws, whatever label it is given, and refuses guidance", () => {
  const config = unetConfig({ ...CLASS_NETWORK, numClassEmbeds: null });
  return withWeights(config, async (gpu, weights) => {
    const generator = await Generator.build(gpu, { config, weights, slots: 2 });
    const { images } = await generator.draw([request(3, 0), request(3, 4)], ddim);
    assert.deepEqual(imageOf(images, 0), imageOf(images, 1));
    generator.destroy();
    const guided = await Generator.build(gpu, { config, weights, slots: 2, imageRows: 2 });
    await assert.rejects(
      guided.draw([request(3, 0, 2)], ddim),
      (error) =>
        error instanceof ConfigError && error.field === "guidance" && /without classes/.test(error.message),
    );
    guided.destroy();
  });
});

Deno.test("a class table without a null row draws every row, and refuses guidance", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const options = { config: CLASS_NETWORK, weights, slots: 2, nullClass: false };
    const generator = await Generator.build(gpu, { ...options });
    const last = CLASS_NETWORK.numClassEmbeds! - 1;
    const { images } = await generator.draw([request(3, last), request(3, last - 1)], ddim);
    assert.notDeepEqual(imageOf(images, 0), imageOf(images, 1));
    await assert.rejects(
      generator.draw([request(3, 0, 2)], ddim),
      (error) =>
        error instanceof ConfigError && error.field === "guidance" && /no row for/.test(error.message),
    );
    generator.destroy();
    const guided = await Generator.build(gpu, { ...options, imageRows: 2 });
    const away = await guided.draw([request(3, 0, 2, last), request(3, 0, 2, 1)], ddim);
    assert.notDeepEqual(imageOf(away.images, 0), imageOf(away.images, 1));
    guided.destroy();
  }));

Deno.test("a network whose output has neither its input's channels nor twice as many is refused", () => {
  const config = unetConfig({ ...CLASS_NETWORK, outChannels: 5 });
  return withWeights(config, (gpu, weights) =>
    assert.rejects(
      Generator.build(gpu, { config, weights, slots: 1 }),
      /^ConfigError: out_channels: expected 3, as in_channels, or 6 with a learned variance, got 5$/,
    ));
});

Deno.test("one step is enough for an image, none for none", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 2 });
    const { images } = await generator.draw([request(1)], planSampling("ddim", schedule, { steps: 1 }));
    assert.equal(images.length, IMAGE);
    assert.ok(images.every((value) => Math.abs(value) <= 1) && new Set(images).size > 10);
    assert.equal((await generator.draw([], ddim)).images.length, 0);
    generator.destroy();
  }));

Deno.test("plans may be longer than the reference schedule, and drawing goes on after one that was stopped", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 1 });
    const { images } = await generator.draw([request(1)], ddim);
    const stop = new Error("stop");
    const fine = new NoiseSchedule({ ...schedule.config, numTrainTimesteps: 2000 });
    await assert.rejects(
      generator.draw([request(1)], planSampling("ddpm", fine, { steps: 1001 }), {
        onStep(done) {
          if (done === 5) throw stop;
        },
      }),
      stop,
    );
    assert.deepEqual((await generator.draw([request(1)], ddim)).images, images);
    generator.destroy();
  }));

Deno.test("previews are x_t and the estimate of x_0 at the steps asked for, and do not change the images", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 2, imageRows: 2 });
    const three = [request(1, 0, 2), request(2, 1, 2), request(3, 2, 2)];
    const { images } = await generator.draw(three, ddpm);
    const drawn = await generator.draw(three, ddpm, { previewAt: [0, 3, 5] });
    assert.deepEqual(drawn.images, images);
    assert.equal(drawn.noisy.length, 3);
    assert.equal(drawn.previews.length, 3);
    // Of the first batch's two images.
    for (const picture of [...drawn.noisy, ...drawn.previews]) assert.equal(picture.length, 2 * IMAGE);
    const finished = images.slice(0, 2 * IMAGE);
    assert.deepEqual(drawn.noisy[2], finished);
    // The last step of DDPM takes the estimate as it is.
    assertClose(drawn.previews[2], finished, { absolute: 1e-6 }, "last estimate");
    assert.notDeepEqual(drawn.noisy[0], drawn.noisy[1]);
    for (const preview of drawn.previews) assert.ok(preview.every((value) => Math.abs(value) <= 1));
    generator.destroy();
  }));

Deno.test("a listener hears of every step of every batch", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 2 });
    const heard: [number, number][] = [];
    const three = [request(1), request(2), request(3)];
    await generator.draw(three, ddim, { onStep: (done, total) => void heard.push([done, total]) });
    assert.deepEqual(heard, [[1, 6], [2, 6], [3, 6], [4, 6], [5, 6], [6, 6]]);
    assert.ok(generator.flopsPerStep > 0);
    generator.destroy();
  }));

Deno.test("new weights in the buffer count from the next draw on", () =>
  withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 1 });
    const before = (await generator.draw([request(1)], ddim)).images;
    const table = unetParameters(CLASS_NETWORK);
    gpu.device.queue.writeBuffer(weights, 0, goldenWeights("other", table));
    assert.notDeepEqual((await generator.draw([request(1)], ddim)).images, before);
    gpu.device.queue.writeBuffer(weights, 0, goldenWeights("generator", table));
    assert.deepEqual((await generator.draw([request(1)], ddim)).images, before);
    generator.destroy();
  }));

Deno.test("weights that have changed draw other images: those of a generator made anew", async () => {
  await withWeights(CLASS_NETWORK, async (gpu, weights) => {
    const options = { config: CLASS_NETWORK, weights, slots: 2, imageRows: 2 };
    const generator = await Generator.build(gpu, options);
    const before = await generator.draw(requests.slice(0, 2), ddim);
    const other = goldenWeights("another", unetParameters(CLASS_NETWORK));
    gpu.device.queue.writeBuffer(weights, 0, other);
    const after = await generator.draw(requests.slice(0, 2), ddim);
    assert.notDeepEqual(after.images, before.images);
    const anew = await Generator.build(gpu, options);
    assert.deepEqual((await anew.draw(requests.slice(0, 2), ddim)).images, after.images);
    generator.destroy();
    anew.destroy();
  });
});
