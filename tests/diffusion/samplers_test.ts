import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { estimates, type ForwardProcess, sigmaOf } from "../../lib/diffusion/forward_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import {
  applyStep,
  evaluations,
  mostSteps,
  planSampling,
  type SamplerName,
  samplerNames,
  type SamplerOptions,
  type SamplerStep,
  type SpacingName,
  spacingNames,
  startState,
} from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";

const processes: Readonly<Record<string, ForwardProcess>> = {
  epsilon: new NoiseSchedule(),
  x0: new NoiseSchedule({ objective: "x0" }),
  v: new NoiseSchedule({ objective: "v", betaSchedule: "cosine" }),
  "v with zero terminal SNR": new NoiseSchedule({ objective: "v", zeroTerminalSnr: true }),
  flow: new RectifiedFlow(),
  edm: new EdmProcess(),
};

const deterministic: readonly SamplerName[] = ["ddim", "euler", "heun", "dpm++2m", "unipc", "edm"];

/** Spacings that a process has. */
function spacingsOf(process: ForwardProcess): SpacingName[] {
  return spacingNames.filter((spacing) => {
    try {
      return planSampling("ddim", process, { steps: 4, spacing });
    } catch (error) {
      assert.ok(error instanceof ConfigError && error.field === "spacing");
      return false;
    }
  });
}

/**
 * Draws with a network that knows the image's distribution.
 *
 * @param denoise the mean of the image given x_0 + sigma eps
 */
function draw(
  process: ForwardProcess,
  plan: readonly SamplerStep[],
  noise: readonly number[],
  denoise: (noisy: number, sigma: number) => number,
): Float64Array {
  let state = startState(Float64Array.from(noise, (value) => plan[0].initialNoise * value));
  for (const step of plan) {
    const { level } = step;
    const { fromX0, fromNoise } = process.target(level);
    const out = state.x.map((x) => {
      const x0 = level.signal === 0 ? denoise(0, Infinity) : denoise(x / level.signal, sigmaOf(level));
      return fromX0 * x0 + fromNoise * (x - level.signal * x0) / level.noise;
    });
    state = applyStep(step, state, out, noise.map((value) => -value));
  }
  return state.x;
}

const noise = [1.5, -0.3, 0.2, 0.7, -1.9];

for (const [name, process] of Object.entries(processes)) {
  Deno.test(`${name}: a perfect network takes every sampler with every spacing to the image`, () => {
    const spacings = spacingsOf(process);
    assert.ok(spacings.length >= 3);
    for (const sampler of samplerNames) {
      for (const spacing of spacings) {
        // Numbers that divide T, for DDIM to end at the image with every spacing
        for (const steps of [1, 2, 4, 20]) {
          const plan = planSampling(sampler, process, { steps, spacing });
          assert.equal(plan.length, evaluations(sampler, steps));
          const x = draw(process, plan, noise, () => 0.6);
          const what = `${sampler} ${spacing} in ${steps} steps`;
          // Where a plan is cut off between the last two timesteps, this network takes the level of the timestep.
          const tolerance = process.sigmaMax === Infinity && process.timeAxis?.whole ? 1e-5 : 1e-9;
          assert.ok(x.every((value) => Math.abs(value - 0.6) < tolerance), `${what}: ${x}`);
        }
      }
    }
  });

  Deno.test(`${name}: at many steps all deterministic samplers converge to one image`, () => {
    // The image's distribution is normal, mean 0.1 and standard deviation 0.5: the flow of noise is known.
    const [mean, variance] = [0.1, 0.25];
    const denoise = (noisy: number, sigma: number) =>
      mean + (sigma === Infinity ? 0 : variance / (variance + sigma ** 2) * (noisy - mean));
    for (const sampler of deterministic) {
      const errors = [50, 400].map((steps) => {
        const plan = planSampling(sampler, process, { steps, spacing: "log-snr", clip: false });
        const first = plan[0].level;
        const sigma = sigmaOf(first);
        const start = plan[0].initialNoise / first.signal; // of the unscaled x
        const x = draw(process, plan, noise, denoise);
        const { sigmaMin } = process;
        return Math.max(...noise.map((value, i) => {
          const shrunk = Math.sqrt((variance + sigmaMin ** 2) / (variance + sigma ** 2));
          const exact = denoise(mean + shrunk * (start * value - mean), sigmaMin); // the last step is the estimate
          return Math.abs(x[i] - exact);
        }));
      });
      // 8 times as many steps: errors of first order fall 8 times, those of second order 64 times.
      const fall = sampler === "ddim" || sampler === "euler" ? 7 : 40;
      assert.ok(errors[1] < 0.03 && errors[1] < errors[0] / fall, `${sampler}: errors ${errors}`);
    }
  });

  Deno.test(`${name}: every plan has finite coefficients, descending levels and initial noise in its first step only`, () => {
    for (const sampler of samplerNames) {
      for (const spacing of spacingsOf(process)) {
        for (const steps of [1, 2, 8, 100]) {
          const what = `${sampler} ${spacing} ${steps}`;
          const plan = planSampling(sampler, process, { steps, spacing });
          for (const [k, { level, next, noiseRatio: _, ...step }] of plan.entries()) { // infinite without signal
            const numbers = [step, level, next].flatMap((values) => Object.values(values));
            assert.ok(numbers.every(Number.isFinite), what);
            assert.equal(step.initialNoise > 0, k === 0, what);
            if (k > 0) assert.ok(next.noise / next.signal <= sigmaOf(plan[k - 1].next), what);
          }
          assert.deepEqual(
            [plan.at(-1)!.sigma, plan.at(-1)!.next.signal, plan.at(-1)!.next.noise],
            [0, 1, 0],
            what,
          );
        }
      }
    }
  });
}

for (const [name, process] of Object.entries(processes)) {
  Deno.test(`${name}: a bound that no estimate reaches changes nothing`, () => {
    for (const sampler of samplerNames.filter((sampler) => sampler !== "ddpm")) {
      const [clipped, free] = ([100, false] as const).map((clip) => {
        const plan = planSampling(sampler, process, { steps: 9, spacing: "log-snr", clip });
        return draw(process, plan, noise, (noisy, sigma) => 0.2 + 0.5 * noisy / (1 + sigma ** 2));
      });
      assert.ok(
        clipped!.every((value, i) => Math.abs(value - free![i]!) < 1e-7),
        `${sampler}: ${clipped}, ${free}`,
      );
    }
  });

  Deno.test(`${name}: estimates out of range at much noise draw one image with all deterministic samplers but heun, none burnt out`, () => {
    // Too bright by far at much noise, and with less noise near what x shows.
    const denoise = (noisy: number, sigma: number) => sigma > 3 ? 4 : 0.8 * noisy / (1 + sigma ** 2);
    const solvers = deterministic.filter((sampler) => sampler !== "heun"); // which clips as diffusers' does
    const [ddim, ...others] = solvers.map((sampler) => {
      const plan = planSampling(sampler, process, { steps: 400, spacing: "log-snr", clip: 1 });
      return draw(process, plan, noise, denoise);
    });
    assert.ok(ddim!.every((value) => Math.abs(value) < 0.98), `${ddim}`);
    others.forEach((image, k) => {
      const errors = image.map((value, i) => Math.abs(value - ddim![i]!));
      assert.ok(Math.max(...errors) < 0.05, `${solvers[k + 1]}: ${image}, not ${ddim}`);
    });
  });
}

Deno.test("EDM's sampler is Algorithm 2 of Karras et al. 2022, churn and its noise included", () => {
  const process = new EdmProcess({ clip: false });
  const options = { steps: 9, churn: 5, churnRange: [0.05, 50] as const, churnNoise: 1.007 };
  const plan = planSampling("edm", process, options);
  // The paper's D(x; sigma), made of a network F that is no linear function
  const sd = 0.5;
  const network = (x: number, cNoise: number) => Math.sin(3 * x + cNoise);
  const denoised = (x: number, sigma: number) => {
    const root = Math.hypot(sigma, sd);
    return sd ** 2 / root ** 2 * x + sigma * sd / root * network(x / root, Math.log(sigma) / 4);
  };
  // Algorithm 2, with standard normal numbers in the order of the evaluations that end with noise
  const z = (k: number) => Math.cos(7 * k + 1);
  const count = options.steps;
  const [high, low] = [80 ** (1 / 7), 0.002 ** (1 / 7)];
  const sigmas = [
    ...Array.from({ length: count }, (_, i) => (high + i / (count - 1) * (low - high)) ** 7),
    0,
  ];
  let expected = 0.8 * sigmas[0]; // line 2; sigma_0 is beyond S_tmax, so that its churn is none
  for (let i = 0; i < count; i++) {
    const sigma = sigmas[i];
    const churned = sigma >= 0.05 && sigma <= 50;
    const gamma = churned ? Math.min(options.churn / count, Math.SQRT2 - 1) : 0;
    const hat = sigma * (1 + gamma);
    expected += Math.sqrt(hat ** 2 - sigma ** 2) * options.churnNoise * z(2 * i - 1);
    const slope = (expected - denoised(expected, hat)) / hat;
    const euler = expected + (sigmas[i + 1] - hat) * slope;
    if (sigmas[i + 1] === 0) {
      expected = euler;
      continue;
    }
    const second = (euler - denoised(euler, sigmas[i + 1])) / sigmas[i + 1];
    expected += (sigmas[i + 1] - hat) * (slope + second) / 2;
  }
  let state = startState(Float64Array.of(0.8 * plan[0].initialNoise));
  for (const [k, step] of plan.entries()) {
    state = applyStep(step, state, state.x.map((x) => network(x, step.timestep)), [z(k)]);
  }
  assert.equal(
    plan.filter(({ sigma }) => sigma > 0).length,
    sigmas.filter((s) => s >= 0.05 && s <= 50).length,
  );
  assert.ok(Math.abs(state.x[0] - expected) < 1e-9, `${state.x[0]}, expected ${expected}`);
});

Deno.test("churn in the first step is part of the initial noise", () => {
  const process = new EdmProcess();
  const [first] = planSampling("edm", process, { steps: 4, churn: 1, churnNoise: 2 });
  const hat = 80 * 1.25;
  const { signal } = process.levelOfSigma(hat);
  const expected = signal * Math.hypot(80, 2 * Math.sqrt(hat ** 2 - 80 ** 2));
  assert.ok(Math.abs(first.initialNoise - expected) < 1e-12);
  assert.ok(Math.abs(first.timestep - Math.log(hat) / 4) < 1e-12);
});

Deno.test("without churn, EDM's sampler is Heun's method with Karras et al.'s spacing", () => {
  for (const process of [processes.edm, processes.epsilon]) {
    assert.deepEqual(
      planSampling("edm", process, { steps: 6, clip: false }),
      planSampling("heun", process, { steps: 6, spacing: "karras", clip: false }),
    );
  }
});

Deno.test("the steps of rectified flow are uniform in t unless another spacing is asked for", () => {
  const plan = planSampling("euler", processes.flow, { steps: 4 });
  assert.deepEqual(plan.map(({ timestep }) => timestep), [1000, 750, 500, 250]);
  assert.equal(plan[0].initialNoise, 1);
  const { x0FromX, x0FromOut } = estimates(processes.flow, processes.flow.level(750));
  // next = x + (t' - t) out
  const { nextFromX, nextFromX0, nextFromOut } = plan[1];
  assert.ok(Math.abs(nextFromX + nextFromX0 * x0FromX - 1) < 1e-12);
  assert.ok(Math.abs(nextFromOut + nextFromX0 * x0FromOut + 0.25) < 1e-12);
});

Deno.test("quadratic timesteps are squares, none of them twice", () => {
  const at = (steps: number) =>
    planSampling("ddim", processes.epsilon, { steps, spacing: "quadratic" }).map(({ timestep }) => timestep);
  assert.deepEqual(at(4), [999, 444, 111, 0]);
  assert.deepEqual(new Set(at(1000)).size, 1000);
  const flow = planSampling("euler", processes.flow, { steps: 4, spacing: "quadratic" });
  assert.deepEqual(flow.map(({ timestep }) => timestep), [1000, 562.5, 250, 62.5]);
});

Deno.test("a limit on evaluations allows half the steps of samplers that evaluate twice", () => {
  assert.equal(mostSteps(processes.epsilon, 21, { sampler: "heun" }), 11);
  assert.equal(mostSteps(processes.epsilon, 20, { sampler: "edm" }), 10);
  assert.equal(mostSteps(processes.epsilon, 20, { sampler: "unipc" }), 20);
  assert.equal(mostSteps(processes.epsilon, Infinity, { sampler: "dpm++2m-sde" }), 999);
  assert.equal(mostSteps(processes.epsilon, 1, { sampler: "heun" }), 1);
});

const refused: [string, RegExp, SamplerName, ForwardProcess, SamplerOptions][] = [
  ["sampler", /dpm\+\+2m-sde, unipc, edm \(did you mean heun\?\)/, "heum" as SamplerName, processes.v, {
    steps: 4,
  }],
  ["spacing", /did you mean karras/, "euler", processes.v, { steps: 4, spacing: "karas" as SpacingName }],
  ["spacing", /karras, exponential, log-snr: this model was trained on noise levels/, "ddim", processes.edm, {
    steps: 4,
    spacing: "trailing",
  }],
  ["spacing", /leading ends at time 0/, "euler", processes.flow, { steps: 4, spacing: "leading" }],
  ["churn", /no value with sampler heun, only with edm/, "heun", processes.edm, { steps: 4, churn: 1 }],
  ["churn", /a number of at least 0/, "edm", processes.edm, { steps: 4, churn: -1 }],
  ["churnRange", /two ascending numbers/, "edm", processes.edm, { steps: 4, churnRange: [2, 1] }],
  ["churnRange", /two ascending numbers/, "edm", processes.edm, { steps: 4, churnRange: 5 as never }],
  ["churnNoise", /from 0 to 100/, "edm", processes.edm, { steps: 4, churnNoise: NaN }],
  ["churnNoise", /from 0 to 100/, "edm", processes.edm, { steps: 4, churnNoise: 1e300 }],
  ["eta", /a number from 0 to 1/, "ddim", processes.v, { steps: 4, eta: "1" as never }],
  ["variance", /no value with sampler ddim, only with ddpm/, "ddim", processes.v, {
    steps: 4,
    variance: "fixed_large",
  }],
  ["steps", /from 1 to 999/, "dpm++2m-sde", processes.v, { steps: 1000 }],
];
for (const [field, words, sampler, process, options] of refused) {
  Deno.test(`${sampler} with ${JSON.stringify(options)} is refused, naming ${field}`, () => {
    assert.throws(() => planSampling(sampler, process, options), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.field, field);
      assert.match(error.message, words);
      return true;
    });
  });
}

Deno.test("plans that start without signal descend from a finite sigma, however many their levels", () => {
  const flow = planSampling("edm", new RectifiedFlow(), { steps: 3000, spacing: "trailing" });
  const two = new NoiseSchedule({
    objective: "v",
    zeroTerminalSnr: true,
    numTrainTimesteps: 2,
    betaSchedule: "cosine",
  });
  for (const plan of [flow, planSampling("euler", two, { steps: 2, spacing: "log-snr" })]) {
    const sigmas = plan.map(({ noiseRatio }) => noiseRatio);
    assert.ok(sigmas[0]! < Infinity);
    // Heun's second evaluation is at the level where the next step begins.
    assert.ok(sigmas.every((sigma, i) => i === 0 || sigma <= sigmas[i - 1]!), String(sigmas.slice(0, 4)));
    assert.ok(plan.every((step) => Number.isFinite(step.nextFromX0)));
  }
});
