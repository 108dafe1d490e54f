/** Power-function averages against their definition, summed in float64. */
import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import {
  checkSigma,
  gammaOf,
  innerProduct,
  type ProfilePoint,
  profileRate,
  reconstructProfile,
  widthOf,
} from "../../lib/model/ema_profiles.ts";

function assertNear(actual: number, expected: number, relative: number, what: string): void {
  assert.ok(
    Math.abs(actual - expected) <= relative * Math.abs(expected),
    `${what}: ${actual}, expected ${expected}`,
  );
}

/** Weight of each step's weights in an average at `step`: the integral of the profile over the step, exactly. */
function stepWeights({ sigma, step }: ProfilePoint): number[] {
  const power = gammaOf(sigma) + 1;
  return Array.from({ length: step }, (_, i) => ((i + 1) / step) ** power - (i / step) ** power);
}

/** Weights of a made-up run: a drift that slows down, with a random walk on top. */
function madeUpRun(steps: number): number[] {
  let [walk, state] = [0, 1];
  return Array.from({ length: steps }, (_, i) => {
    state = (state * 48271) % 2147483647;
    walk += (state / 2147483647 - 0.5) / 10;
    return 3 - Math.exp(-5 * i / steps) + walk;
  });
}

/** The average that is tracked step by step, after each step. */
function tracked(weights: readonly number[], sigma: number): number[] {
  let average = NaN;
  return weights.map((weight, i) => {
    const rate = profileRate(sigma, i + 1);
    return average = i === 0 ? weight : average + rate * (weight - average);
  });
}

Deno.test("exponents of the paper's widths: 0.05 is 16.97, 0.1 is 6.94", () => {
  assertNear(gammaOf(0.05), 16.97, 1e-3, "0.05");
  assertNear(gammaOf(0.1), 6.94, 1e-3, "0.1");
  for (const sigma of [0.01, 0.03, 0.2, 0.28]) {
    assertNear(widthOf(gammaOf(sigma)), sigma, 1e-14, "there and back");
  }
  // Section 3.1: the standard deviation of tau / t, whose density is (gamma + 1) x^gamma.
  const gamma = 3;
  const moment = (n: number) => (gamma + 1) / (gamma + n + 1);
  assertNear(widthOf(gamma), Math.sqrt(moment(2) - moment(1) ** 2), 1e-14, "standard deviation");
});

Deno.test("the average tracked step by step is the power-function average", () => {
  const weights = madeUpRun(500);
  for (const sigma of [0.02, 0.1, 0.25]) {
    const closed = stepWeights({ sigma, step: 500 }).reduce((sum, share, i) => sum + share * weights[i]!, 0);
    assertNear(tracked(weights, sigma).at(-1)!, closed, 1e-12, `width ${sigma}`);
  }
  assert.equal(profileRate(0.1, 1), 1, "the first average is the first weights");
});

Deno.test("inner products of profiles are their integrals", () => {
  const density = ({ sigma, step }: ProfilePoint, tau: number) => {
    const gamma = gammaOf(sigma);
    return tau > step ? 0 : (gamma + 1) * tau ** gamma / step ** (gamma + 1);
  };
  for (
    const [a, b] of [
      [{ sigma: 0.05, step: 40 }, { sigma: 0.05, step: 40 }],
      [{ sigma: 0.05, step: 40 }, { sigma: 0.1, step: 100 }],
      [{ sigma: 0.2, step: 90 }, { sigma: 0.03, step: 60 }],
    ] as const
  ) {
    const cells = 200_000;
    let integral = 0;
    for (let i = 0; i < cells; i++) {
      const tau = 100 * (i + 0.5) / cells;
      integral += density(a, tau) * density(b, tau) * 100 / cells;
    }
    assertNear(innerProduct(a, b), integral, 1e-4, JSON.stringify([a, b]));
    assert.equal(innerProduct(a, b), innerProduct(b, a));
  }
});

const SNAPSHOTS = Array.from({ length: 16 }, (_, i) => 250 * (i + 1))
  .flatMap((step) => [0.05, 0.1].map((sigma) => ({ sigma, step })));

Deno.test("an average of any width is reconstructed from snapshots of two, with the error that is told", () => {
  const weights = madeUpRun(4000);
  for (const sigma of [0.03, 0.07, 0.15, 0.2]) {
    const { coefficients, error } = reconstructProfile(SNAPSHOTS, { sigma, step: 4000 });
    // The profile that the snapshots add up to, against the one wanted, step by step.
    const sum = new Float64Array(4000);
    SNAPSHOTS.forEach((each, i) =>
      stepWeights(each).forEach((share, t) => sum[t]! += coefficients[i]! * share)
    );
    const wanted = stepWeights({ sigma, step: 4000 });
    const norm = (values: number[]) => Math.hypot(...values);
    const measured = norm(wanted.map((share, t) => sum[t]! - share)) / norm(wanted);
    assertNear(measured, error, 0.02, `error at width ${sigma}`);
    assert.ok(error < 0.05, `error at width ${sigma}: ${error}`);

    const reconstructed = SNAPSHOTS.reduce((sum, each, i) => {
      return sum + coefficients[i]! * tracked(weights.slice(0, each.step), each.sigma).at(-1)!;
    }, 0);
    const actual = tracked(weights, sigma).at(-1)!;
    assert.ok(
      Math.abs(reconstructed - actual) < 0.01 * Math.abs(actual),
      `width ${sigma}: ${reconstructed}, ${actual}`,
    );
  }
});

Deno.test("a width of the snapshots is taken from the last of them", () => {
  const { coefficients, error } = reconstructProfile(SNAPSHOTS, { sigma: 0.1, step: 4000 });
  assert.ok(error < 1e-6);
  coefficients.forEach((value, i) =>
    assert.ok(Math.abs(value - (i === SNAPSHOTS.length - 1 ? 1 : 0)) < 1e-6)
  );
});

Deno.test("with more snapshots the error falls, and the system is solved", () => {
  const errors = [1, 4, 16, 64].map((count) => {
    const stored = Array.from({ length: count }, (_, i) => (i + 1) * 6400 / count)
      .flatMap((step) => [0.05, 0.1].map((sigma) => ({ sigma, step })));
    return reconstructProfile(stored, { sigma: 0.15, step: 6400 }).error;
  });
  errors.slice(1).forEach((error, i) => assert.ok(error < errors[i]! / 1.5, `${errors}`));
  assert.ok(errors.at(-1)! < 1e-3);
});

Deno.test("a width out of range is refused", () => {
  for (const sigma of [0.005, 0.288, NaN]) {
    assert.throws(() => checkSigma("emaSigma", sigma), (error: Error) => {
      assert.match(error.message, /^emaSigma: expected a relative width above 0\.005 and below 0\.288, got /);
      return error instanceof ConfigError;
    });
  }
  checkSigma("emaSigma", 0.287);
});
