import assert from "node:assert/strict";
import { type Digest, digestIndices, goldenParameter, goldenScaled } from "./formula.ts";

interface GoldenNetwork {
  case: string;
  inputs: { shape: [number, number, number, number] };
  activations: Record<string, Digest>;
  gradients: Record<string, Digest>;
}

for (const name of ["heads", "classes", "unaligned"]) {
  Deno.test(`the formula's weights and input give diffusers' own conv_in output: ${name}`, async () => {
    const file = new URL(`unet_${name}.json`, import.meta.url);
    const golden: GoldenNetwork = JSON.parse(await Deno.readTextFile(file));
    const [batch, inChannels, height, width] = golden.inputs.shape;
    const weightShape = golden.gradients["conv_in.weight"].shape;
    const outChannels = weightShape[0];
    const weight = goldenParameter(golden.case, "conv_in.weight", weightShape);
    const bias = goldenParameter(golden.case, "conv_in.bias", [outChannels]);
    const x = goldenScaled(golden.case, "x", batch * inChannels * height * width, 2);

    const output: number[] = [];
    for (let n = 0; n < batch; n++) {
      for (let o = 0; o < outChannels; o++) {
        for (let row = 0; row < height; row++) {
          for (let column = 0; column < width; column++) {
            let sum = bias[o];
            for (let tap = 0; tap < 9 * inChannels; tap++) {
              const c = Math.floor(tap / 9);
              const y = row + Math.floor(tap % 9 / 3) - 1;
              const z = column + tap % 3 - 1;
              if (y < 0 || y >= height || z < 0 || z >= width) continue;
              sum += weight[o * 9 * inChannels + tap] * x[((n * inChannels + c) * height + y) * width + z];
            }
            output.push(sum);
          }
        }
      }
    }

    const digest = golden.activations.conv_in;
    assert.deepEqual(digest.shape, [batch, outChannels, height, width]);
    // Both sides are float64 sums of 28 products; the file keeps nine digits.
    for (const [k, index] of digestIndices(digest).entries()) {
      assert.ok(Math.abs(output[index] - digest.values[k]) < 1e-8, `element ${index}`);
    }
    assert.ok(Math.abs(Math.hypot(...output) / digest.norm - 1) < 1e-8);
  });
}

Deno.test("norm weights are near 1, biases near 0, and no parameter repeats another", () => {
  const norm = goldenParameter("heads", "conv_norm_out.weight", [32]);
  assert.ok(norm.every((value) => value >= 0.7 && value <= 1.3));
  const bias = goldenParameter("heads", "conv_norm_out.bias", [32]);
  assert.ok(bias.every((value) => Math.abs(value) <= 0.2));
  assert.notDeepEqual(bias, goldenParameter("heads", "conv_in.bias", [32]));
  assert.notDeepEqual(bias, goldenParameter("classes", "conv_norm_out.bias", [32]));
});
