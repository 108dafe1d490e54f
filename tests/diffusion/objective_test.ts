import assert from "node:assert/strict";
import { objectiveTables } from "../../lib/diffusion/objective.ts";
import { NoiseSchedule, type PredictionType } from "../../lib/diffusion/schedule.ts";
import { estimates } from "../../lib/diffusion/forward_process.ts";
import { ConfigError } from "../../lib/errors.ts";

const predictionTypes: PredictionType[] = ["epsilon", "sample", "v_prediction"];

for (const predictionType of predictionTypes) {
  Deno.test(`a network that hits the ${predictionType} target gives samplers the true image and noise`, () => {
    const schedule = new NoiseSchedule({ predictionType });
    const { signal, noise, targetFromX0, targetFromNoise } = objectiveTables(schedule);
    const [x0, eps] = [0.6, -1.3];
    for (const t of [0, 1, 250, 999]) {
      const x = signal[t] * x0 + noise[t] * eps;
      const out = targetFromX0[t] * x0 + targetFromNoise[t] * eps;
      const { x0FromX, x0FromOut, epsFromX, epsFromOut } = estimates(schedule, schedule.level(t));
      // The tables are float32; dividing by sqrt(acp_t) or sqrt(1 - acp_t) magnifies their rounding.
      const bound = 1e-6 / Math.min(signal[t], noise[t]);
      assert.ok(Math.abs(x0FromX * x + x0FromOut * out - x0) < bound, `x_0 at ${t}`);
      assert.ok(Math.abs(epsFromX * x + epsFromOut * out - eps) < bound, `noise at ${t}`);
    }
  });

  Deno.test(`min-SNR weights of ${predictionType} make its loss min(snr, gamma) times that of x_0`, () => {
    const schedule = new NoiseSchedule({ predictionType });
    const gamma = 3;
    const { weight } = objectiveTables(schedule, { weighting: "min_snr", gamma });
    for (const t of [0, 10, 250, 600, 999]) {
      const cumprod = schedule.alphasCumprod[t];
      const { x0FromOut } = estimates(schedule, schedule.level(t));
      const errorOfX0 = x0FromOut ** 2; // squared error of x_0 for a unit squared error of the output
      const wanted = Math.min(cumprod / (1 - cumprod), gamma) * errorOfX0;
      assert.ok(Math.abs(weight[t] - wanted) <= 1e-6 * wanted, `${weight[t]} at ${t}, expected ${wanted}`);
    }
  });
}

Deno.test("uniform weights are 1 and x_t keeps unit variance at every timestep", () => {
  const { weight, signal, noise } = objectiveTables(new NoiseSchedule());
  for (let t = 0; t < 1000; t++) {
    assert.equal(weight[t], 1);
    assert.ok(Math.abs(signal[t] ** 2 + noise[t] ** 2 - 1) < 3e-7);
  }
});

Deno.test("an unknown weighting or a gamma that is not positive is refused by name", () => {
  const schedule = new NoiseSchedule();
  assert.throws(
    () => objectiveTables(schedule, { weighting: "p2" as "uniform" }),
    (error) => error instanceof ConfigError && error.field === "weighting",
  );
  for (const gamma of [0, -1, NaN, Infinity]) {
    assert.throws(
      () => objectiveTables(schedule, { gamma }),
      (error) => error instanceof ConfigError && error.field === "gamma",
    );
  }
});
