import assert from "node:assert/strict";
import {
  boundSteps,
  divergenceTerm,
  logRatios,
  priorTerm,
  snrOf,
} from "../../lib/evaluation/variational_bound.ts";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { learnedVarianceRows } from "../../lib/diffusion/learned_variance.ts";
import type { ForwardProcess, NoiseLevel } from "../../lib/diffusion/forward_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { NoiseSchedule, type VarianceType } from "../../lib/diffusion/schedule.ts";
import { byteNats } from "../../lib/evaluation/discretized_gaussian.ts";
import { assertClose } from "../support/close.ts";

interface GoldenBound {
  betas: number[];
  variance: VarianceType;
  bytes: number[];
  errors: number[];
  divergences: number[];
  prior: number;
}

const golden: { cases: GoldenBound[] } = JSON.parse(
  await Deno.readTextFile(new URL("../golden/variational_bound.json", import.meta.url)),
);

const levelsOf = (process: ForwardProcess) => boundSteps(process).levels;

function levelsOfBetas(betas: readonly number[]): NoiseLevel[] {
  let cumprod = 1;
  return betas.map((beta, timestep) => {
    cumprod *= 1 - beta;
    return { timestep, signal: Math.sqrt(cumprod), noise: Math.sqrt(1 - cumprod) };
  });
}

for (const { betas, variance, bytes, errors, divergences, prior } of golden.cases) {
  Deno.test(`terms are those of torch.distributions: ${betas.length} timesteps, ${variance}`, () => {
    const levels = levelsOfBetas(betas);
    const terms = levels.slice(1).map((t, i) => {
      const { errorWeight, constant } = divergenceTerm(levels[i], t, variance);
      return errorWeight * errors[i] + constant;
    });
    assertClose(terms, divergences, { absolute: 1e-13, relative: 1e-12 }, "divergences");
    const meanSquare = bytes.reduce((sum, byte) => sum + (2 * byte / 255 - 1) ** 2, 0) / bytes.length;
    assertClose([priorTerm(levels.at(-1)!, meanSquare)], [prior], { absolute: 1e-15 }, "prior");
  });
}

Deno.test("a schedule's levels are its timesteps, and its posterior variance is that of the decoder", () => {
  const schedule = new NoiseSchedule({ numTrainTimesteps: 50, betaEnd: 0.3 });
  const { levels, decoderVariance } = boundSteps(schedule);
  assert.deepEqual(levels.map(({ timestep }) => timestep), Array.from({ length: 50 }, (_, t) => t));
  assert.equal(decoderVariance, schedule.posteriorVariance[1]);
});

Deno.test("a learned variance has the range of the loss that it is trained with", () => {
  const schedule = new NoiseSchedule({ numTrainTimesteps: 50, betaEnd: 0.3, varianceType: "learned_range" });
  const rows = learnedVarianceRows(schedule, schedule.betas);
  const expected = rows.map(({ logVarianceRange }) => logVarianceRange);
  assertClose(logRatios(boundSteps(schedule)), expected, { absolute: 1e-6 }, "logarithms");
});

for (const process of [new EdmProcess(), new RectifiedFlow()]) {
  Deno.test(`levels of ${process.constructor.name} are even in the logarithm of the SNR`, () => {
    const levels = levelsOf(process);
    const ratios = levels.slice(1).map((t, i) => snrOf(levels[i]) / snrOf(t));
    assertClose(ratios, ratios.map(() => ratios[0]), { absolute: 0, relative: 1e-9 }, "ratios");
    assertClose([snrOf(levels[0])], [process.sigmaMin ** -2], { absolute: 0, relative: 1e-12 }, "first");
    const last = Math.min(process.sigmaMax, 1000) ** -2;
    assertClose([snrOf(levels.at(-1)!)], [last], { absolute: 0, relative: 1e-9 }, "last");
  });
}

Deno.test("scaling a process changes no term", () => {
  const levels = levelsOf(new EdmProcess());
  const scaled = levels.map((level) => ({ ...level, signal: 3 * level.signal, noise: 3 * level.noise }));
  for (const at of [1, 500, 999]) {
    const [term, same] = [levels, scaled].map((all) => divergenceTerm(all[at - 1], all[at], "fixed_large"));
    assertClose([same.errorWeight], [term.errorWeight], { absolute: 0, relative: 1e-12 });
    assertClose([same.constant], [term.constant], { absolute: 1e-15 });
  }
});

/** Deviation of the toy data: independent Gaussian pixels, rounded to bytes; ends of the range are 5 deviations away. */
const DEVIATION = 0.2;

/** Bytes at the centres of as many equal shares of the toy data, likewise noise. */
const QUANTILES = 400;

function normalQuantiles(): number[] {
  const cdf = (x: number) => {
    // Simpson's rule on the density
    const steps = 2000;
    const h = x / steps;
    let sum = 0;
    for (let i = 0; i <= steps; i++) {
      const weight = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
      sum += weight * Math.exp(-((i * h) ** 2) / 2);
    }
    return 0.5 + sum * h / 3 / Math.sqrt(2 * Math.PI);
  };
  return Array.from({ length: QUANTILES }, (_, i) => {
    let [low, high] = [-6, 6];
    for (let halving = 0; halving < 40; halving++) {
      const middle = (low + high) / 2;
      if (cdf(middle) < (i + 0.5) / QUANTILES) low = middle;
      else high = middle;
    }
    return low;
  });
}

/** Ratio of noise to signal of the first level: much wider than a byte's bin, so that the data is as good as continuous. */
const FIRST_SIGMA = 0.02;

/** The bound of Gaussian data under the best network, which is linear: its squared error has a closed form. */
function gaussianBound(levels: readonly NoiseLevel[], normals: readonly number[]): number {
  const variance = DEVIATION ** 2;
  const errorAt = (level: NoiseLevel) => variance / (1 + variance * snrOf(level));
  let nats = priorTerm(levels.at(-1)!, variance);
  for (const [i, t] of levels.slice(1).entries()) {
    const { errorWeight, constant } = divergenceTerm(levels[i], t, "fixed_small");
    nats += errorWeight * errorAt(t) + constant;
  }
  const [{ signal, noise }] = levels;
  const gain = variance * signal / (variance * signal ** 2 + noise ** 2);
  const spread = Math.sqrt(errorAt(levels[0]));
  let decoder = 0;
  for (const data of normals) {
    const byte = Math.round(127.5 * (DEVIATION * data + 1));
    for (const eps of normals) {
      decoder += byteNats(byte, gain * (signal * (2 * byte / 255 - 1) + noise * eps), spread);
    }
  }
  return nats + decoder / QUANTILES ** 2;
}

Deno.test("the bound of Gaussian data with the best network tends to its entropy from above as steps grow finer", () => {
  const normals = normalQuantiles();
  const exact = -normals.reduce((sum, data) => {
    const byte = Math.round(127.5 * (DEVIATION * data + 1));
    return sum - byteNats(byte, 0, DEVIATION);
  }, 0) / QUANTILES;
  const excess = [30, 300, 3000].map((count) => {
    const levels = Array.from({ length: count }, (_, i): NoiseLevel => {
      const sigma = FIRST_SIGMA * (1000 / FIRST_SIGMA) ** (i / (count - 1));
      const signal = 1 / Math.hypot(1, sigma);
      return { timestep: i, signal, noise: sigma * signal };
    });
    return gaussianBound(levels, normals) - exact;
  });
  assert.ok(excess.every((nats) => nats > 0), `${excess}`);
  // The sum's error is of first order, down to that of a Gaussian on bins a fifth as wide as the noise of the first level.
  assert.ok(excess[2] < 0.01 && excess[2] < 0.12 * excess[1] && excess[1] < 0.12 * excess[0], `${excess}`);
});

Deno.test("a network that returns the image costs nothing but the decoder's bins", () => {
  const levels = levelsOf(new NoiseSchedule());
  const total = levels.slice(1).reduce((sum, t, i) => {
    const { errorWeight, constant } = divergenceTerm(levels[i], t, "fixed_small");
    return sum + 0 * errorWeight + constant;
  }, 0);
  assert.equal(total, 0);
});

Deno.test("a network that returns zero pays the whole signal-to-noise ratio of the first level", () => {
  const levels = levelsOf(new NoiseSchedule());
  const meanSquare = 0.25;
  const total = levels.slice(1).reduce(
    (sum, t, i) => sum + meanSquare * divergenceTerm(levels[i], t, "fixed_small").errorWeight,
    0,
  );
  // The sum over 1/2 (SNR_s - SNR_t) telescopes.
  const expected = meanSquare * (snrOf(levels[0]) - snrOf(levels.at(-1)!)) / 2;
  assertClose([total], [expected], { absolute: 0, relative: 1e-12 });
});
