import assert from "node:assert/strict";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { datasetImages, forwardProcess, shownTimesteps } from "../../lib/sampling/illustrate.ts";

const schedule = new NoiseSchedule();
const [height, width] = [24, 16];
const image = Uint8Array.from({ length: height * width * 3 }, (_, i) => (i * 7) % 256);

/** Pixels on the network's scale. */
const scaled = (bytes: Uint8Array) => Float64Array.from(bytes, (byte) => byte / 127.5 - 1);

Deno.test("timestep -1 is the image itself, the last one nearly pure noise", () => {
  const [clean, first, last] = forwardProcess(image, height, width, schedule, [-1, 0, 999]);
  assert.deepEqual(clean.pixels, image);
  assert.deepEqual([clean.count, clean.height, clean.width], [1, height, width]);
  assert.ok(
    first.pixels.every((byte, i) => Math.abs(byte - image[i]) <= 0.01 * 4.5 * 127.5 + 1),
    "sqrt(beta_1) = 0.01",
  );
  // A third of normal numbers are beyond 1 and clipped; correlation with the image is about sqrt(acp) = 0.006.
  const share = last.pixels.filter((byte) => byte === 0 || byte === 255).length / last.pixels.length;
  assert.ok(share > 0.28 && share < 0.36, `${share}`);
  assert.ok(Math.abs(correlation(scaled(last.pixels), scaled(image))) < 0.1);
});

Deno.test("all frames have the same noise, weighted as the schedule says", () => {
  const grey = new Uint8Array(height * width * 3).fill(127); // -1/255: close to 0
  const times = [50, 200];
  const [a, b] = forwardProcess(grey, height, width, schedule, times).map(({ pixels }) => scaled(pixels));
  const weights = times.map((t) => Math.sqrt(1 - schedule.alphasCumprod[t]));
  for (let i = 0; i < a.length; i++) {
    if (Math.abs(b[i]) > 0.99) continue; // clipped
    assert.ok(Math.abs(a[i] / weights[0] - b[i] / weights[1]) < 0.1, `pixel ${i}: ${a[i]} ${b[i]}`);
  }
});

Deno.test("the noise is standard normal, the same for the same seed, another for another", () => {
  const grey = new Uint8Array(height * width * 3).fill(127);
  const draw = (seed?: number) => forwardProcess(grey, height, width, schedule, [10], seed)[0].pixels;
  assert.deepEqual(draw(5), draw(5));
  assert.deepEqual(draw(), draw(0));
  assert.notDeepEqual(draw(5), draw(6));
  const sigma = Math.sqrt(1 - schedule.alphasCumprod[10]);
  const noise = scaled(draw(5)).map((value) => value / sigma);
  const variance = noise.reduce((sum, value) => sum + value * value, 0) / noise.length;
  // 1,152 numbers: the variance is within 5 deviations of 1, whose deviation is sqrt(2 / 1152).
  assert.ok(Math.abs(variance - 1) < 5 * Math.sqrt(2 / noise.length), `${variance}`);
});

Deno.test("timesteps to show are round numbers, and denser where images change visibly", () => {
  assert.deepEqual(shownTimesteps(10, 999), [999, 800, 600, 450, 300, 200, 100, 50, 10, 0]);
  assert.deepEqual(shownTimesteps(10, 980), [980, 750, 600, 450, 300, 200, 100, 50, 10, 0]);
  assert.deepEqual(shownTimesteps(4, 9), [9, 4, 1, 0]);
  assert.deepEqual(shownTimesteps(10, 2), [2, 1, 0], "none twice");
});

Deno.test("a timestep out of range is refused", () => {
  for (const t of [-2, 1000, 0.5, NaN]) {
    assert.throws(() => forwardProcess(image, height, width, schedule, [t]), (error: Error) => {
      assert.match(error.message, /^timesteps: expected whole numbers from -1 to 999, got /);
      return error instanceof ConfigError;
    });
  }
});

Deno.test("bytes that are not one image of the size given are refused", () => {
  assert.throws(() => forwardProcess(image.subarray(3), height, width, schedule, [0]), (error: Error) => {
    assert.match(
      error.message,
      /^image: expected 24 x 16 x 3 = 1152 bytes, or 384 of a grey image, got 1149$/,
    );
    return error instanceof ConfigError;
  });
});

Deno.test("images of a data set come in the order asked for, with their classes", () => {
  const images = Uint8Array.from({ length: 3 * 2 * 2 * 3 }, (_, i) => i);
  const data = imageDataset({
    ...{ name: "ramp", images, height: 2, width: 2 },
    ...{ labels: Uint8Array.of(1, 0, 1), classes: ["cat", "dog"] },
  });
  const taken = datasetImages(data, [2, 1]);
  assert.deepEqual([taken.count, taken.height, taken.width], [2, 2, 2]);
  assert.deepEqual(taken.pixels, Uint8Array.of(...images.subarray(24), ...images.subarray(12, 24)));
  assert.deepEqual(taken.metadata, [{ image: 2, class: "dog" }, { image: 1, class: "cat" }]);
  assert.notEqual(taken.pixels.buffer, images.buffer);
  assert.throws(() => datasetImages(data, [0, 3]), { name: "ShapeError", message: /image 3: .* 0 to 2/ });
  assert.throws(() => datasetImages(data, []), { name: "ConfigError", message: /count/ });
});

Deno.test("grey images of a data set become RGB of equal channels; without classes they have no class", () => {
  const data = imageDataset({
    ...{ name: "grey", images: Uint8Array.of(5, 6, 7, 8), height: 1, width: 2, channels: 1 as const },
    ...{ labels: Uint8Array.of(0, 0), classes: [] },
  });
  const { pixels, metadata } = datasetImages(data, Uint32Array.of(1));
  assert.deepEqual([pixels, metadata], [Uint8Array.of(7, 7, 7, 8, 8, 8), [{ image: 1 }]]);
});

Deno.test("a grey image gets grey noise", () => {
  const grey = Uint8Array.from({ length: height * width }, (_, i) => i % 256);
  const [clean, noisy] = forwardProcess(grey, height, width, schedule, [-1, 500]).map(({ pixels }) => pixels);
  for (const pixels of [clean!, noisy!]) {
    assert.equal(pixels.length, 3 * grey.length);
    assert.ok(pixels.every((value, i) => value === pixels[i - i % 3]));
  }
  assert.deepEqual([...clean!].filter((_, i) => i % 3 === 0), [...grey]);
  assert.notDeepEqual(noisy, clean);
});

function correlation(a: Float64Array, b: Float64Array): number {
  const mean = (x: Float64Array) => x.reduce((sum, value) => sum + value, 0) / x.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) ** 2;
    bb += (b[i] - mb) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}
