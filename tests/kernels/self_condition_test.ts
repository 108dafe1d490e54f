import assert from "node:assert/strict";
import { encodeScheduleTables } from "../../kernels/records/training.ts";
import { selfConditionForward } from "../../kernels/self_condition.ts";
import { noise } from "../reference/differences.ts";
import { threefry } from "../reference/threefry.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { stepWords } from "../support/step.ts";
import { STORAGES } from "../support/storage.ts";

/** Levels with the targets of epsilon, v, x0 and flow. */
const LEVELS = [[0.8, 0.6, 0, 1], [0.8, 0.6, -0.6, 0.8], [0.6, 0.8, 1, 0], [0.3, 0.7, -1, 1]] as const;
const SCHEDULE = encodeScheduleTables({
  timestep: LEVELS.map((_, t) => t),
  signal: LEVELS.map(([signal]) => signal),
  noise: LEVELS.map(([, noise]) => noise),
  targetFromX0: LEVELS.map(([, , fromX0]) => fromX0),
  targetFromNoise: LEVELS.map(([, , , fromNoise]) => fromNoise),
  weight: LEVELS.map(() => 1),
});
const BATCH = 12;

for (const storage of STORAGES) {
  for (
    const [height, width, channels, outChannels] of [[4, 4, 3, 3], [3, 5, 3, 6], [2, 2, 1, 1], [2, 3, 6, 12]]
  ) {
    Deno.test(`estimates [${height},${width},${channels}] of outputs of ${outChannels} channels${storage.suffix}`, async () => {
      const pixels = height * width;
      const x0 = noise(BATCH * pixels * channels, 1).map((value) => 1.3 * value);
      const e = noise(x0.length, 2);
      const of = (scale: (level: readonly number[]) => number[]) =>
        x0.map((value, i) => {
          const [fromX0, fromNoise] = scale(LEVELS[Math.floor(i / pixels / channels) % 4]);
          return fromX0 * value + fromNoise * e[i];
        });
      const xt = of(([signal, noise]) => [signal, noise]);
      const target = of(([, , fromX0, fromNoise]) => [fromX0, fromNoise]);
      // Further channels are a learned variance's, and not read.
      const out = Float64Array.from({ length: BATCH * pixels * outChannels }, (_, i) => {
        const c = i % outChannels;
        return c < channels ? target[Math.floor(i / outChannels) * channels + c] : 99;
      });
      const estimate = storage.empty(packChannels(xt, channels).length);
      await storage.run(selfConditionForward<HostArray>(
        { batch: BATCH, height, width, channels, outChannels, clip: 1 },
        {
          step_state: stepWords({ step: 5, stream: 1, seedLo: 3, seedHi: 4 }),
          draws: Uint32Array.from(Array.from({ length: BATCH }, (_, n) => [n, n % 4, 0]).flat()),
          schedule: SCHEDULE,
          x_t: storage.array(packChannels(xt, channels)),
          prediction: storage.array(packChannels(out, outChannels)),
          estimate,
        },
      ));
      const given = Array.from({ length: BATCH }, (_, n) => threefry([n, 6, 5, 1], [3, 4])[0] & 1);
      assert.ok(given.includes(0) && given.includes(1));
      const want = x0.map((value, i) =>
        given[Math.floor(i / pixels / channels)] * Math.min(Math.max(value, -1), 1)
      );
      // Inputs in float16 are off by 2^-11, which the coefficients double and add up.
      const tolerance = { absolute: storage.half ? 6e-3 : 2e-6 };
      assertClose(unpackChannels(estimate, channels), want, tolerance, "estimate");
      assert.ok(
        estimate.every((value, i) => i % (4 * Math.ceil(channels / 4)) < channels || value === 0),
        "padding",
      );
    });
  }
}
