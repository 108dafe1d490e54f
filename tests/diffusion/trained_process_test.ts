import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { type ForwardProcess, sigmaOf } from "../../lib/diffusion/forward_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { processFromDiffusers, processToDiffusers } from "../../lib/diffusion/trained_process.ts";
import { ConfigError } from "../../lib/errors.ts";

/** Configuration of a scheduler of diffusers, and the noise levels that it visits. */
interface GoldenLevels {
  config: Record<string, unknown>;
  timesteps: number[];
  sigmas: number[];
}

const golden: Record<"flow" | "edm", GoldenLevels> =
  JSON.parse(await Deno.readTextFile(new URL("../golden/schedulers.json", import.meta.url))).levels;

/** diffusers keeps the levels in float32. */
const close = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) <= 2e-6 * Math.max(1, Math.abs(expected)), `${actual}, ${expected}`);

Deno.test("flow has the time inputs and levels of diffusers' FlowMatchEulerDiscreteScheduler", () => {
  const { config, timesteps, sigmas } = golden.flow;
  const notes: string[] = [];
  const process = processFromDiffusers(config, (note) => notes.push(note));
  assert.ok(process instanceof RectifiedFlow);
  for (const [i, timestep] of timesteps.entries()) {
    const { signal, noise } = process.level(timestep);
    close(noise, sigmas[i]); // diffusers calls t sigma
    close(signal, 1 - sigmas[i]);
  }
  assert.deepEqual([processToDiffusers(process), notes], [config, []]);
});

Deno.test("edm has the time inputs and levels of diffusers' EDMEulerScheduler", () => {
  const { config, timesteps, sigmas } = golden.edm;
  const notes: string[] = [];
  const process = processFromDiffusers(config, (note) => notes.push(note));
  assert.ok(process instanceof EdmProcess);
  for (const [i, timestep] of timesteps.entries()) {
    close(sigmaOf(process.level(timestep)), sigmas[i]);
    close(process.levelOfSigma(sigmas[i]).timestep, timestep);
  }
  assert.deepEqual([processToDiffusers(process), notes], [config, []]);
});

Deno.test("the configuration of every process is read back as it was written", () => {
  const processes: ForwardProcess[] = [
    new NoiseSchedule({ objective: "v", betaSchedule: "cosine", numTrainTimesteps: 50 }),
    new RectifiedFlow(),
    new EdmProcess({ sigmaData: 0.6, sigmaMin: 0.01, sigmaMax: 50 }),
  ];
  for (const process of processes as Parameters<typeof processToDiffusers>[0][]) {
    const json = JSON.parse(JSON.stringify(processToDiffusers(process)));
    assert.deepEqual(processFromDiffusers(json), process);
  }
});

Deno.test("what a sampler of diffusers would do otherwise is noted, and another process is refused", () => {
  const noted = (json: object) => {
    const notes: string[] = [];
    processFromDiffusers(json, (note) => notes.push(note));
    return notes;
  };
  assert.deepEqual(noted({ ...golden.flow.config, shift: 3 }), ["not supported and ignored: shift"]);
  assert.deepEqual(noted({ ...golden.edm.config, _class_name: "EDMDPMSolverMultistepScheduler" }), []);
  assert.match(noted({ ...golden.flow.config, _class_name: "FlowMatchLCMScheduler" })[0], /project's own$/);
  const wrong: [Record<string, unknown>, string][] = [
    [{ ...golden.flow.config, num_train_timesteps: 500 }, "num_train_timesteps"],
    [{ ...golden.flow.config, invert_sigmas: true }, "invert_sigmas"],
    [{ ...golden.edm.config, prediction_type: "v_prediction" }, "prediction_type"],
    [{ ...golden.edm.config, sigma_data: 0 }, "sigma_data"],
    [{ ...golden.edm.config, sigma_min: 90 }, "sigma_max"],
    [{ ...golden.edm.config, sigma_min: 1e-30 }, "sigma_min"],
    [{ ...golden.edm.config, sigma_max: 1e30 }, "sigma_max"],
    [{ ...golden.edm.config, sigma_schedule: "kerras" }, "sigma_schedule"],
    [{ _class_name: "CMStochasticIterativeScheduler" }, "_class_name"],
    [{ beta_start: 0.9, beta_end: 0.99 }, "num_train_timesteps"],
    [{ trained_betas: [0.1, 1e-20], num_train_timesteps: 2 }, "trained_betas"],
  ];
  for (const [json, field] of wrong) {
    assert.throws(
      () => processFromDiffusers(json),
      (error) => error instanceof ConfigError && error.field === field,
      field,
    );
  }
  for (const json of [null, [], "x"]) assert.throws(() => processFromDiffusers(json), ConfigError);
  assert.throws(
    () => processFromDiffusers({ _class_name: "FlowMatchEulerDiscretScheduler" }),
    /_class_name: expected one of DDPMScheduler, .*EDMEulerScheduler.* \(did you mean FlowMatchEulerDiscreteScheduler\?\)/,
  );
});
