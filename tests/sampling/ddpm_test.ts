import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { applyStep, planSampling, startState } from "../../lib/diffusion/sampler.ts";
import { Images } from "../../lib/image/images.ts";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { initialNoise } from "../../lib/sampling/initial_noise.ts";
import type { GenerateOptions } from "../../lib/sampling/request.ts";
import { ConfigError, DeviceError } from "../../lib/errors.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { unetConfigFromJson } from "../../lib/model/config.ts";
import { forwardPass, unetParameters } from "../../lib/model/network.ts";
import { loadPipeline } from "../../lib/files/pipeline.ts";
import { exceptDigests } from "../support/digest_warning.ts";
import { assertClose } from "../support/close.ts";
import { type Digest, goldenScaled } from "../golden/formula.ts";
import { assertDigest, fromDevice, toDevice } from "../golden/tensors.ts";
import { readModel } from "../../lib/sampling/read_model.ts";
import { readFloats, testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { PIPELINE, withModel } from "../support/tiny_pipeline.ts";

interface Expected {
  readonly inputs: { readonly shape: number[]; readonly timesteps: number[]; readonly labels: number[] };
  readonly float32: number;
  readonly output: Digest;
  readonly images: { readonly options: GenerateOptions; readonly image: number[] }[];
}

const expected = JSON.parse(await Deno.readTextFile(join(PIPELINE, "expected.json"))) as Expected;

Deno.test("guidance 1 is no guidance, and guidance 0 no class, in the limit of the scales around them", async () => {
  const model = await DDPM.load(PIPELINE, { gpu: await testGpu() });
  for (const sampler of ["ddim", "unipc"] as const) {
    const draw = (options: GenerateOptions) => model.generate({ sampler, steps: 3, seed: 4, ...options });
    const plain = await draw({ class: 1, guidance: 1 });
    const without = await draw({ class: "none" });
    assert.notDeepEqual(plain.pixels, without.pixels);
    // Scales other than 1 take both rows of the network
    for (const [guidance, expected] of [[1 + 1e-6, plain], [0, without]] as const) {
      const { pixels } = await draw({ class: 1, guidance });
      const most = Math.max(...pixels.map((value, i) => Math.abs(value - expected.pixels[i])));
      assert.ok(most <= 1, `${sampler}, guidance ${guidance}: pixels differ by ${most}`);
    }
  }
  await model.close();
});

/** Bytes of the image that diffusers drew. */
function bytesOf(image: readonly number[]): number[] {
  return image.map((value) => Math.min(255, Math.max(0, (value + 1) * 127.5)));
}

Deno.test("a diffusers directory's network gives the output that it gives in diffusers", async () => {
  const gpu = await testGpu();
  const { tensors, unetConfig } = await loadPipeline(PIPELINE);
  const config = unetConfigFromJson(unetConfig);
  const { shape, timesteps, labels } = expected.inputs;
  const scope = new ResourceScope(gpu, "test");
  const weights = scope.buffer(4 * unetParameters(config).elements, "weights");
  gpu.device.queue.writeBuffer(weights.buffer, 0, unetParameters(config).toMemory(tensors, PIPELINE));
  const forward = scope.own(forwardPass(gpu, config, 2, weights.buffer, "test"));
  const program = scope.own(await buildProgram(gpu, [...forward.launches]));
  const x = toDevice(goldenScaled("tiny_pipeline", "x", 2 * 3 * 64, 2), shape);
  const { queue } = gpu.device;
  queue.writeBuffer(forward.inputs.x.buffer, forward.inputs.x.offset, x as Float32Array<ArrayBuffer>);
  queue.writeBuffer(
    forward.inputs.timesteps.buffer,
    forward.inputs.timesteps.offset,
    Float32Array.from(timesteps),
  );
  queue.writeBuffer(forward.inputs.labels!.buffer, forward.inputs.labels!.offset, Uint32Array.from(labels));
  program.run();
  const output = fromDevice(await readFloats(gpu, forward.prediction), shape);
  scope.destroy();
  // Four times as far off as PyTorch in float32, and the rounding of the stored digits.
  assertDigest(output, expected.output, (4 * expected.float32 + 1e-6) * expected.output.max, "output");
});

for (const { options, image } of expected.images) {
  const { sampler, steps, guidance, eta = 0 } = options;
  const title = `${sampler} steps=${steps} guidance=${guidance} eta=${eta}`;
  Deno.test(`images are those of diffusers' schedulers from the same noise: ${title}`, async () => {
    await withModel(async (model) => {
      const drawn = await model.generate(options);
      // Half a level is the rounding to bytes; a tenth more, what float32 adds up to over the steps.
      assertClose(drawn.pixels, bytesOf(image), { absolute: 0.6 }, title);
    });
  });
}

Deno.test("predict() gives the network's output, from which applyStep makes the step that the device does", async () => {
  await withModel(async (model) => {
    const plan = planSampling("ddim", model.schedule, { steps: 4, eta: 0 });
    const images = [0, 1, 2].map((label) => ({ label, seed: 5 + label, guidance: label }));
    // The seeds' noise, as the device makes it: a step that keeps x.
    const keep = { nextFromX0: 0, nextFromX: 1, nextFromOut: 0 };
    let x = await model.draw(images, [{ ...plan[0], ...keep }]);
    const noise = images.flatMap(({ seed }) => [...initialNoise(seed, 64, 3)]);
    assertClose(x, noise, { absolute: 1e-5 }, "noise of the seeds");
    for (const step of plan) {
      const starts = images.map((image, i) => ({ ...image, start: x.slice(i * 192, (i + 1) * 192) }));
      const out = await model.predict(starts, step);
      assert.deepEqual(await model.predict(starts, step, { batch: 2 }), out);
      if (step === plan[0]) {
        assertClose(await model.predict(images, step), [...out], { absolute: 1e-6 }, "without start");
      }
      const next = applyStep(step, startState(Float64Array.from(x)), out);
      x = await model.draw(starts, [step]);
      assertClose(x, [...next.x], { absolute: 1e-5 }, `t=${step.timestep}`);
    }
    const options = { sampler: "ddim", steps: 4 } as const;
    for (const [i, { label, seed, guidance }] of images.entries()) {
      const { pixels } = await model.generate({ ...options, class: label, seed, guidance });
      const own = Images.fromFloats(x.slice(i * 192, (i + 1) * 192), 1, 8, 8);
      assertClose(pixels, [...own.pixels], { absolute: 1 }, `class ${label}`);
    }
    const wrong = [{ ...images[0], start: new Float32Array(3) }];
    await assert.rejects(model.predict(wrong, plan[0]), /start: expected/);
  });
});

Deno.test("an image depends on its seed and class alone: not on batch, count, neighbours or listeners", async () => {
  await withModel(async (model) => {
    const options = { sampler: "ddim", steps: 3, eta: 0.5, guidance: 2 } as const;
    const all = await model.generate({ ...options, class: [0, 1, 2], count: 5, seed: 10 });
    for (const batch of [1, 4, 64]) {
      const again = await model.generate({
        ...options,
        class: [0, 1, 2],
        count: 5,
        seed: 10,
        batch,
        onStep() {},
      });
      assert.deepEqual(again.pixels, all.pixels, `batch ${batch}`);
    }
    const alone = await model.generate({ ...options, class: 1, seed: 17 });
    assert.deepEqual(alone.pixels, all.at(7).pixels);
    assert.deepEqual(alone.metadata[0], all.metadata[7]);
    const mixed = await model.generate({ ...options, class: ["2", null, 1], seed: 15 });
    assert.deepEqual(mixed.at(2).pixels, alone.pixels);
    assert.notDeepEqual(all.at(0).pixels, all.at(1).pixels);
  });
});

Deno.test("images asked for at the same time are those asked for one after the other", async () => {
  await withModel(async (model) => {
    const requests: GenerateOptions[] = [
      { class: 0, count: 3, batch: 1, steps: 4, seed: 1 },
      { class: 1, count: 2, steps: 2, seed: 2, guidance: 1 },
      { class: 2, count: 3, batch: 1, steps: 3, seed: 3 },
    ];
    const together = await Promise.all(requests.map((options) => model.generate(options)));
    for (const [i, options] of requests.entries()) {
      assert.deepEqual(together[i].pixels, (await model.generate(options)).pixels);
    }
  });
});

Deno.test("metadata tells how to make each image again", async () => {
  await withModel(async (model) => {
    const images = await model.generate({ class: [2, "none"], steps: 2, seed: 2 ** 40, guidance: 1.5 });
    const common = {
      model: "tiny_pipeline",
      model_digest: model.digest.slice(0, 16),
      sampler: "unipc",
      spacing: "karras",
      steps: 2,
      guidance: 1.5,
    };
    assert.deepEqual(images.metadata, [
      { ...common, class: "2", seed: 2 ** 40 },
      { ...common, class: "none", seed: 2 ** 40 + 1 },
    ]);
    const [{ eta }] = (await model.generate({ sampler: "ddim", steps: 1, eta: 0.25 })).metadata;
    assert.equal(eta, 0.25);
  });
});

Deno.test("a listener hears of every step, counted over all batches", async () => {
  await withModel(async (model) => {
    const heard: [number, number][] = [];
    const onStep = (done: number, total: number) => void heard.push([done, total]);
    await model.generate({ class: 0, count: 3, batch: 2, steps: 3, onStep });
    assert.deepEqual(heard, [1, 2, 3, 4, 5, 6].map((done) => [done, 6]));
  });
});

Deno.test("a trajectory ends in the image that generate draws, at evenly spaced steps", async () => {
  await withModel(async (model) => {
    const options: GenerateOptions = { class: [0, 1], sampler: "ddim", steps: 9, seed: 4 };
    const final = await model.generate(options);
    const { images, noisy, predicted, timesteps } = await model.trajectory(options, 5);
    assert.deepEqual(images.pixels, final.pixels);
    assert.deepEqual(images.metadata, final.metadata);
    assert.deepEqual(timesteps, [888, 666, 444, 222, 0]);
    assert.deepEqual([noisy.length, predicted.length], [5, 5]);
    assert.deepEqual(noisy[4].pixels, final.pixels);
    assert.deepEqual(predicted[4].pixels, final.pixels, "DDIM's last step is its estimate of the image");
    assert.notDeepEqual(noisy[3].pixels, predicted[3].pixels);
    assert.equal((await model.trajectory({ ...options, steps: 3 }, 10)).noisy.length, 3);
    assert.equal((await model.trajectory({ ...options, steps: 1 }, 2)).noisy.length, 1);
    await assert.rejects(
      model.trajectory(options, 1),
      /^ConfigError: frames: expected a whole number of 2 or more/,
    );
    await assert.rejects(model.trajectory(options, NaN), ConfigError);

    const chosen = await model.trajectory(options, [2, 6, 7]);
    assert.deepEqual(chosen.timesteps, [666, 222, 111]);
    assert.deepEqual(chosen.noisy[0].pixels, noisy[1].pixels);
    assert.deepEqual(chosen.predicted[1].pixels, predicted[3].pixels);
    assert.deepEqual(chosen.images.pixels, final.pixels);
    for (const frames of [[3, 2], [2, 2], [9], [-1], [0.5]]) {
      await assert.rejects(
        model.trajectory(options, frames),
        /^ConfigError: frames: expected steps from 0 to 8 in ascending order, got /,
      );
    }
  });
});

Deno.test("class names come from model_index.json, and how many there are says whether the table has a null row", async () => {
  await inTemporaryDirectory(async (directory) => {
    await cp(PIPELINE, directory, { recursive: true });
    const path = join(directory, "model_index.json");
    const { _class_labels: _, ...index } = JSON.parse(await Deno.readTextFile(path));
    const [numbers, noNull] = [["0", "1", "2", "3"], /all 4 rows of its class table are classes/];
    const four = ["a", "b", "c", "d"];
    for (
      const [labels, classes, ...warnings] of [
        [{ _class_labels: ["Cat", "dog", "owl"] }, ["Cat", "dog", "owl"]],
        [{ class_labels: ["Cat", "dog", "owl"] }, ["Cat", "dog", "owl"]],
        [{ class_labels: four }, four, noNull],
        [{}, numbers, noNull],
        [
          { _class_labels: ["Cat", "dog"] },
          numbers,
          /expected a list of 3 or 4 class names; classes are numbered/,
          noNull,
        ],
        [{ _class_labels: ["Cat", "dog", 3] }, numbers, /expected a list of 3 or 4 class names/, noNull],
      ] as const
    ) {
      await Deno.writeTextFile(path, JSON.stringify({ ...index, ...labels }));
      const told: string[] = [];
      const model = await readModel(directory, "float32", {
        onWarning: exceptDigests((message) => void told.push(message)),
      });
      assert.deepEqual(model.classes, classes);
      assert.equal(told.length, warnings.length, told.join("\n"));
      warnings.forEach((warning, i) => assert.match(told[i], warning));
    }
  });
});

Deno.test("a closed model finishes what it draws, then refuses, and leaves the caller's device usable", async () => {
  const gpu = await testGpu();
  const model = await DDPM.load(PIPELINE, { gpu });
  const drawing = model.generate({ class: 1, steps: 3, count: 2, batch: 1 });
  await model.close();
  await model.close();
  assert.equal((await drawing).count, 2);
  await assert.rejects(model.generate({ steps: 1 }), (error: Error) => {
    assert.match(error.message, /this model was closed/);
    return error instanceof DeviceError;
  });
  assert.equal(gpu.fault, undefined);
});

Deno.test("a batch beyond the device's memory is refused in words, and a smaller one still drawn", async () => {
  const gpu = await openGpu({ memoryBudget: 4 * 2 ** 20 });
  const model = await DDPM.load(PIPELINE, { gpu });
  await assert.rejects(model.generate({ count: 4096, batch: 4096, steps: 1 }), (error: Error) => {
    assert.match(error.message, /sampling 4096 images at once.* needs .*MiB/);
    return error instanceof DeviceError;
  });
  assert.equal((await model.generate({ count: 2, steps: 1 })).count, 2);
  await model.close();
  assert.equal(gpu.memory.live, 0);
  gpu.close();
});
