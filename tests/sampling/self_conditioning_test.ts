/** Sampling by networks with self-conditioning. */
import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { applyStep, planSampling, type SamplerName, startState } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { unetConfig, unetConfigFromJson, unetConfigToJson } from "../../lib/model/config.ts";
import { forwardPass, unetParameters } from "../../lib/model/network.ts";
import { checkPictureChannels } from "../../lib/sampling/channels.ts";
import { Generator } from "../../lib/sampling/generator.ts";
import { goldenWeights } from "../golden/tensors.ts";
import { samplingNoise } from "../reference/sampler_step.ts";
import { assertClose } from "../support/close.ts";
import { readFloats, testGpu } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { CLASS_NETWORK } from "../support/networks.ts";

const config = unetConfig({ ...CLASS_NETWORK, selfConditioning: true, inChannels: 6 });
const schedule = new NoiseSchedule();
const INITIAL = 2 ** 32 - 1;

async function withWeights(body: (weights: GPUBuffer, scope: ResourceScope) => Promise<void>): Promise<void> {
  const gpu = await testGpu();
  const scope = new ResourceScope(gpu, "test");
  const table = unetParameters(config);
  const weights = scope.buffer(4 * table.elements, "weights").buffer;
  gpu.device.queue.writeBuffer(weights, 0, goldenWeights("generator", table));
  await body(weights, scope);
  scope.destroy();
}

for (const sampler of ["ddim", "dpm++2m", "heun"] as SamplerName[]) {
  Deno.test(`${sampler} gives each step the estimate of the one before, as a loop on the CPU does`, () =>
    withWeights(async (weights, scope) => {
      const gpu = await testGpu();
      const plan = planSampling(sampler, schedule, { steps: 3 });
      const forward = scope.own(forwardPass(gpu, config, 1, weights, "test"));
      const program = scope.own(await buildProgram(gpu, [...forward.launches]));
      const { x, estimate, timesteps, labels } = forward.inputs;
      const write = ({ buffer, offset }: typeof x, data: Float32Array | Uint32Array) =>
        gpu.device.queue.writeBuffer(buffer, offset, data as Float32Array<ArrayBuffer>);
      const start = samplingNoise(32, 3, INITIAL, [9, 0]).map((value) => plan[0]!.initialNoise * value);
      let state = startState(Float64Array.from(start));
      let blind = 0;
      for (const step of plan) {
        write(x, packChannels(state.x, 3));
        write(timesteps, Float32Array.of(step.timestep));
        write(labels!, Uint32Array.of(2));
        const evaluate = async (of: ArrayLike<number>) => {
          write(estimate!, packChannels(of, 3));
          program.run();
          return unpackChannels(await readFloats(gpu, forward.prediction), 3);
        };
        const without = await evaluate(new Float64Array(state.x.length));
        const out = await evaluate(state.h1);
        blind = Math.max(blind, ...out.map((value, i) => Math.abs(value - without[i]!)));
        state = applyStep(step, state, out);
      }
      assert.ok(blind > 0.01, "the estimates change nothing");

      const generator = await Generator.build(gpu, { config, weights, slots: 2 });
      // The slots hold other images' estimates at first.
      await generator.draw([1, 2].map((seed) => ({ label: 0, seed, guidance: 1 })), plan);
      const requests = [{ label: 2, seed: 9, guidance: 1 }, { label: 0, seed: 3, guidance: 1 }];
      const { images } = await generator.draw(requests, plan);
      // Float32 against float64 over a few steps.
      assertClose(images.subarray(0, 96), state.x, { absolute: 2e-4 }, sampler);
      generator.destroy();
    }));
}

Deno.test("rows of guidance share the estimate of their slot", () =>
  withWeights(async (weights) => {
    const gpu = await testGpu();
    const plan = planSampling("ddim", schedule, { steps: 3 });
    const generator = await Generator.build(gpu, { config, weights, slots: 1, imageRows: 2 });
    const drawn = async (guidance: number, negative?: number) =>
      (await generator.draw([{ label: 2, seed: 9, guidance, negative }], plan)).images;
    // Against the same class, guidance of any scale is the class alone, if all rows are given the same.
    assertClose(await drawn(3, 2), await drawn(1), { absolute: 1e-4 }, "guidance");
    generator.destroy();
  }));

Deno.test("config.json marks self-conditioning, and a network without the mark is refused for its channels", () => {
  const json = unetConfigToJson(config);
  assert.equal(json.self_conditioning, true);
  assert.equal(json.in_channels, 6);
  assert.deepEqual(unetConfigFromJson(json), config);
  assert.ok(!("self_conditioning" in unetConfigToJson(CLASS_NETWORK)));
  checkPictureChannels(config);
  const refusal = (change: Partial<typeof config>) => {
    try {
      checkPictureChannels(unetConfig({ ...config, ...change }));
    } catch (error) {
      assert.ok(error instanceof ConfigError);
      return error.message;
    }
  };
  assert.match(refusal({ selfConditioning: false })!, /^in_channels: expected 1 \(grey\) or 3 \(RGB\)/);
  assert.match(refusal({ inChannels: 5 })!, /^in_channels: expected an even number with self_conditioning/);
  assert.match(refusal({ outChannels: 5 })!, /^out_channels: expected 3, half of in_channels/);
  assert.equal(refusal({ outChannels: 6 }), undefined);
});
