import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import {
  estimates,
  type ForwardProcess,
  halfLogSnr,
  type NoiseLevel,
  sigmaOf,
} from "../../lib/diffusion/forward_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";

const processes: Readonly<Record<string, ForwardProcess>> = {
  epsilon: new NoiseSchedule(),
  x0: new NoiseSchedule({ objective: "x0" }),
  v: new NoiseSchedule({ objective: "v", betaSchedule: "cosine" }),
  flow: new RectifiedFlow(),
  edm: new EdmProcess(),
};

const close = (actual: number, expected: number, tolerance = 1e-9) =>
  assert.ok(
    Math.abs(actual - expected) <= tolerance * Math.max(1, Math.abs(expected)),
    `${actual}, ${expected}`,
  );

for (const [name, process] of Object.entries(processes)) {
  Deno.test(`${name}: x and a perfect output give back image and noise at every level`, () => {
    const [x0, eps] = [0.7, -1.3];
    for (const sigma of [0.02, 0.3, 1, 4, 60]) {
      const level = process.levelOfSigma(sigma);
      const x = level.signal * x0 + level.noise * eps;
      const { fromX0, fromNoise } = process.target(level);
      const out = fromX0 * x0 + fromNoise * eps;
      const { x0FromX, x0FromOut, epsFromX, epsFromOut } = estimates(process, level);
      close(x0FromX * x + x0FromOut * out, x0);
      close(epsFromX * x + epsFromOut * out, eps);
    }
  });

  Deno.test(`${name}: a level of a sigma has that sigma, and more noise has a later timestep`, () => {
    let before: NoiseLevel | undefined;
    for (const sigma of [0.02, 0.3, 1, 4, 60]) {
      const level = process.levelOfSigma(sigma);
      close(sigmaOf(level), sigma);
      close(halfLogSnr(level), -Math.log(sigma));
      if (before) assert.ok(level.timestep > before.timestep);
      before = level;
      const again = process.level(level.timestep);
      // Discrete schedules interpolate sigma by timestep and the timestep by the logarithm of sigma, as diffusers does.
      close(sigmaOf(again), sigma, process instanceof NoiseSchedule ? 1e-3 : 1e-9);
    }
  });
}

Deno.test("EDM's estimate of x_0 is c_skip x + c_out F for the unscaled x (Karras et al. 2022, equation 7)", () => {
  const sd = 0.5;
  for (const sigma of [0.002, 0.5, 80]) {
    const root = Math.hypot(sigma, sd);
    const level = new EdmProcess({ sigmaData: sd }).levelOfSigma(sigma);
    const { x0FromX, x0FromOut } = estimates(new EdmProcess({ sigmaData: sd }), level);
    close(level.timestep, Math.log(sigma) / 4);
    close(x0FromX, sd ** 2 / root ** 2 * root); // c_skip times x in units of the network's input, c_in x
    close(x0FromOut, sigma * sd / root);
  }
});

Deno.test("rectified flow's estimate of x_0 is x - t out", () => {
  const flow = new RectifiedFlow();
  const { x0FromX, x0FromOut } = estimates(flow, flow.level(250));
  close(x0FromX, 1);
  close(x0FromOut, -0.25);
  assert.equal(flow.levelOfSigma(Infinity).timestep, 1000);
});

Deno.test("a schedule's levels at whole timesteps are its tables, and sigma is linear in between", () => {
  const schedule = new NoiseSchedule();
  assert.equal(schedule.level(400).signal, Math.sqrt(schedule.alphasCumprod[400]!));
  const middle = (sigmaOf(schedule.level(400)) + sigmaOf(schedule.level(401))) / 2;
  close(sigmaOf(schedule.level(400.5)), middle);
  close(schedule.levelOfSigma(sigmaOf(schedule.level(400))).timestep, 400);
  assert.throws(() => schedule.level(1000), /timestep.*from 0 to 999/s);
});
