import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { estimates, type ForwardProcess, sigmaOf } from "../../lib/diffusion/forward_process.ts";
import { objectiveTables } from "../../lib/diffusion/objective.ts";
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

  Deno.test(`min-SNR weights of ${process.objective} make its loss min(snr, gamma) times that of x_0`, () => {
    const gamma = 3;
    const { weight } = objectiveTables(process, { weighting: "min_snr", gamma });
    for (const [t, level] of process.trainingLevels().entries()) {
      if (t % 97 !== 0) continue;
      const { x0FromOut } = estimates(process, level);
      const errorOfX0 = x0FromOut ** 2; // squared error of x_0 for a unit squared error of the output
      const wanted = Math.min(1 / sigmaOf(level) ** 2, gamma) * errorOfX0;
      assert.ok(Math.abs(weight[t] - wanted) <= 1e-6 * wanted, `${weight[t]} at ${t}, expected ${wanted}`);
    }
  });
}

Deno.test("uniform weights are 1 and x_t keeps unit variance at every timestep", () => {
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

const close = (actual: number, expected: number, tolerance: number) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual}, expected ${expected}`);

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
