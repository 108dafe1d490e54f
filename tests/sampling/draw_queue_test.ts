import assert from "node:assert/strict";
import { DeviceError } from "../../lib/errors.ts";
import type { Images } from "../../lib/image/images.ts";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { testGpu } from "../support/gpu.ts";
import { PIPELINE } from "../support/tiny_pipeline.ts";

Deno.test("other requests are drawn inside a loop over steps, which draws the same images, and again after it", async () => {
  const model = await DDPM.load(PIPELINE, { gpu: await testGpu() });
  const options = { class: 1, count: 2, seed: 7, steps: 4 };
  const whole = await model.generate(options);
  const other = await model.generate({ ...options, seed: 70 });
  const inner = [];
  let last: Images | undefined;
  for await (const { images, done, total } of model.generateSteps(options)) {
    inner.push(await model.generate({ ...options, seed: 70 }));
    if (done === 2) {
      for await (const step of model.generateSteps({ ...options, seed: 70 })) {
        if (step.done === step.total) inner.push(step.images);
      }
    }
    if (done === total) last = images;
  }
  assert.deepEqual(last!.pixels, whole.pixels);
  assert.equal(inner.length, 5);
  for (const { pixels } of inner) assert.deepEqual(pixels, other.pixels);
  assert.deepEqual((await model.generate(options)).pixels, whole.pixels);
  await model.close();
});

Deno.test("close inside a loop over steps ends it, and frees its memory", async () => {
  const gpu = await testGpu();
  const before = gpu.memory.used;
  const model = await DDPM.load(PIPELINE, { gpu });
  const steps: number[] = [];
  await assert.rejects(async () => {
    for await (const { done } of model.generateSteps({ count: 2, steps: 4 })) {
      steps.push(done);
      if (done === 2) await model.close();
    }
  }, (error) => error instanceof DeviceError && /this model was closed/.test(error.message));
  assert.deepEqual(steps, [1, 2]);
  assert.equal(gpu.memory.used, before);

  const standing = await DDPM.load(PIPELINE, { gpu });
  const loop = standing.generateSteps({ count: 2, steps: 4 });
  await loop.next();
  const step = loop.next();
  await standing.close();
  assert.equal((await step).value!.done, 2, "a step in progress is finished");
  assert.equal(gpu.memory.used, before);
  await assert.rejects(loop.next(), DeviceError);
  await loop.return();
});

Deno.test("a loop that ends while another request's generator is built frees its memory", async () => {
  const gpu = await testGpu();
  const before = gpu.memory.used;
  const model = await DDPM.load(PIPELINE, { gpu });
  const loop = model.generateSteps({ count: 2, steps: 4 });
  await loop.next();
  const other = model.generate({ count: 3, steps: 2 });
  await loop.return();
  await other;
  await model.close();
  assert.equal(gpu.memory.used, before);
});
