import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { estimates, type ForwardProcess, sigmaOf } from "../../lib/diffusion/forward_process.ts";
import { LOSS_WEIGHTINGS, objectiveTables } from "../../lib/diffusion/objective.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";

const processes: ForwardProcess[] = [
  new NoiseSchedule(),
  new NoiseSchedule({ objective: "v" }),
  new NoiseSchedule({ objective: "x0" }),
  new RectifiedFlow(),
  new EdmProcess(),
];

const close = (actual: number, expected: number, tolerance: number) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual}, expected ${expected}`);

for (const process of processes) {
  Deno.test(`a network that hits the ${process.objective} target gives samplers the true image and noise`, () => {
    const { timestep, signal, noise, targetFromX0, targetFromNoise } = objectiveTables(process);
    const [x0, eps] = [0.6, -1.3];
    for (const share of [0, 0.001, 0.25, 0.999]) {
      const t = Math.floor(share * signal.length);
      const x = signal[t] * x0 + noise[t] * eps;
      const out = targetFromX0[t] * x0 + targetFromNoise[t] * eps;
      const { x0FromX, x0FromOut, epsFromX, epsFromOut } = estimates(process, process.level(timestep[t]));
      // The tables are float32; dividing by signal or noise magnifies their rounding.
      const bound = 2e-6 / Math.min(signal[t], noise[t]);
      assert.ok(Math.abs(x0FromX * x + x0FromOut * out - x0) < bound, `x_0 at ${t}`);
      assert.ok(Math.abs(epsFromX * x + epsFromOut * out - eps) < bound, `noise at ${t}`);
    }
  });

  Deno.test(`weightings of ${process.objective} make its loss that of x_0 or of the noise, times their formulas`, () => {
    const gamma = 3;
    const [minSnr, soft, p2] = [
      objectiveTables(process, { weighting: "min-snr", gamma }).weight,
      objectiveTables(process, { weighting: "soft-min-snr", gamma }).weight,
      objectiveTables(process, { weighting: "p2", gamma: 0.5, p2K: 2 }).weight,
    ];
    for (const [t, level] of process.trainingLevels().entries()) {
      if (t % 97 !== 0) continue;
      // Squared errors of x_0 and of the noise for a unit squared error of the output
      const { x0FromOut, epsFromOut } = estimates(process, level);
      const snr = 1 / sigmaOf(level) ** 2;
      close(minSnr[t] / (Math.min(snr, gamma) * x0FromOut ** 2), 1, 1e-6);
      close(soft[t] / (1 / (1 / snr + 1 / gamma) * x0FromOut ** 2), 1, 1e-6);
      close(p2[t] / ((2 + snr) ** -0.5 * epsFromOut ** 2), 1, 1e-6);
    }
  });
}

Deno.test("without a weighting weights are 1, and x_t keeps unit variance at every timestep", () => {
  const { timestep, weight, signal, noise } = objectiveTables(new NoiseSchedule());
  for (let t = 0; t < 1000; t++) {
    assert.deepEqual([timestep[t], weight[t]], [t, 1]);
    assert.ok(Math.abs(signal[t] ** 2 + noise[t] ** 2 - 1) < 3e-7);
  }
});

/** Mean and standard deviation of the training levels' values of `of`. */
function moments(process: ForwardProcess, of: (sigma: number) => number): [mean: number, deviation: number] {
  const values = process.trainingLevels().map((level) => of(sigmaOf(level)));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return [mean, Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)];
}

Deno.test("flow trains at uniform times, or at times with a standard normal logit", () => {
  const time = (sigma: number) => sigma / (1 + sigma);
  const [mean, deviation] = moments(new RectifiedFlow(), time);
  close(mean, 1 / 2, 1e-9);
  close(deviation, Math.sqrt(1 / 12), 1e-9);
  // The logit of t is ln sigma; the tails beyond the outermost of the levels are missing.
  const [logitMean, logitDeviation] = moments(new RectifiedFlow({ times: "logit-normal" }), Math.log);
  close(logitMean, 0, 1e-9);
  close(logitDeviation, 1, 1e-3);
  assert.throws(
    () => new RectifiedFlow({ times: "normal" as "uniform" }),
    (error) => error instanceof ConfigError && error.field === "times",
  );
});

Deno.test("edm trains at log-normal sigma, every level with the weight lambda c_out^2 = 1", () => {
  const process = new EdmProcess({ meanLogSigma: -0.4, stdLogSigma: 1.5 });
  const [mean, deviation] = moments(process, Math.log);
  close(mean, -0.4, 1e-9);
  close(deviation, 1.5, 1e-3);
  const { weight } = objectiveTables(new EdmProcess());
  assert.ok(weight.every((value) => value === 1));
  const sigmas = new EdmProcess().trainingLevels().map(sigmaOf);
  assert.ok(sigmas[0] < 0.002 && sigmas.at(-1)! > 50, `${sigmas[0]} to ${sigmas.at(-1)}`);
});

Deno.test("zero terminal SNR has finite weights, and none on pure noise where x_0 cannot be known", () => {
  for (const objective of ["v", "x0"] as const) {
    const process = new NoiseSchedule({ objective, zeroTerminalSnr: true });
    for (const weighting of LOSS_WEIGHTINGS) {
      const { weight } = objectiveTables(process, { weighting });
      assert.ok(weight.every((value) => value >= 0 && value < Infinity), weighting);
      assert.equal(weight.at(-1), weighting === "none" ? 1 : 0);
    }
  }
});

Deno.test("gamma is 5 for the caps and 1 for the exponent unless given", () => {
  const process = new NoiseSchedule();
  for (const [weighting, gamma] of [["min-snr", 5], ["soft-min-snr", 5], ["p2", 1]] as const) {
    assert.deepEqual(
      objectiveTables(process, { weighting }),
      objectiveTables(process, { weighting, gamma, p2K: 1 }),
    );
  }
});

Deno.test("an unknown weighting or a gamma that is not positive is refused by name", () => {
  const schedule = new NoiseSchedule();
  assert.throws(
    () => objectiveTables(schedule, { weighting: "p3" as "p2" }),
    (error) => error instanceof ConfigError && error.field === "weighting",
  );
  for (const gamma of [0, -1, NaN, Infinity]) {
    assert.throws(
      () => objectiveTables(schedule, { gamma }),
      (error) => error instanceof ConfigError && error.field === "gamma",
    );
  }
});

Deno.test("a gamma whose weights are not finite, or all 0, in float32 is refused", () => {
  const cases = [{ gamma: 500, p2K: 1e-3, timesteps: 1000 }, { gamma: 1e6, p2K: 1, timesteps: 3 }];
  for (const { timesteps, ...options } of cases) {
    assert.throws(
      () =>
        objectiveTables(new NoiseSchedule({ numTrainTimesteps: timesteps }), { weighting: "p2", ...options }),
      (error) => error instanceof ConfigError && error.field === "gamma",
    );
  }
});
