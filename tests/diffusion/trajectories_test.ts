import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import type { ForwardProcess } from "../../lib/diffusion/forward_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import {
  applyStep,
  planSampling,
  type SamplerName,
  type SpacingName,
  startState,
} from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { goldenValues } from "../golden/formula.ts";

interface Trajectory {
  sampler: SamplerName;
  spacing: SpacingName;
  steps: number;
  begin?: number;
  gain: number;
  config: Record<string, unknown>;
  timesteps: number[];
  recorded: { step: number; x: number[] }[];
}

const { trajectories }: { trajectories: Record<string, Trajectory> } = JSON.parse(
  await Deno.readTextFile(new URL("../golden/samplers.json", import.meta.url)),
);

const WIDTH = 16;

function processOf({ config }: Trajectory): ForwardProcess {
  const name = String(config._class_name);
  const clip = config.clip_sample ? config.clip_sample_range as number : false;
  if (name.startsWith("FlowMatch")) return new RectifiedFlow({ clip });
  if (name.startsWith("EDM")) {
    return new EdmProcess({
      sigmaMax: config.sigma_max as number | undefined,
      sigmaData: config.sigma_data as number | undefined,
      clip,
    });
  }
  const { variance_type: _, ...rest } = config;
  return NoiseSchedule.fromDiffusers(rest);
}

for (const [name, run] of Object.entries(trajectories)) {
  Deno.test(`a sampler follows diffusers' scheduler evaluation by evaluation: ${name}`, () => {
    const learned = run.config.variance_type === "learned_range";
    const plan = planSampling(run.sampler, processOf(run), {
      steps: run.steps,
      begin: run.begin,
      spacing: run.spacing,
      clip: run.sampler === "ddpm" || run.sampler === "ddim" || run.config.clip_sample ? undefined : false,
      variance: learned ? "learned_range" : undefined,
    });
    assert.equal(plan.length, run.timesteps.length);
    for (const [k, { timestep }] of plan.entries()) {
      assert.ok(
        Math.abs(timestep - run.timesteps[k]) < 1e-6,
        `timestep ${k}: ${timestep}, ${run.timesteps[k]}`,
      );
    }
    const numbers = (of: string) => goldenValues("samplers", of, WIDTH * plan.length);
    const [outs, noises, variances] = [numbers("out"), numbers("noise"), numbers("variance")];
    const start = goldenValues("samplers", "x", WIDTH).map((value) => 1.7 * value);
    const { level: { signal, noise: deviation } } = plan[0];
    const image = goldenValues("samplers", "image", WIDTH);
    const noisy = start.map((value, i) => 0.8 * signal * image[i] + deviation * value);
    let state = startState(run.begin ? noisy : start);
    for (const [k, step] of plan.entries()) {
      const at = <T extends Float64Array>(all: T) => all.subarray(WIDTH * k, WIDTH * (k + 1));
      const out = state.x.map((value, i) => run.gain * value + 0.5 * at(outs)[i]);
      const noise = at(noises).map((value) => k === plan.length - 1 ? 0 : Math.sqrt(3) * value);
      state = applyStep(step, state, out, noise, at(variances));
      for (const [i, value] of run.recorded.find((entry) => entry.step === k)?.x.entries() ?? []) {
        const bound = 1e-9 * Math.max(1, Math.abs(value));
        assert.ok(
          Math.abs(state.x[i] - value) <= bound,
          `x[${i}] after ${k}: ${state.x[i]}, expected ${value}`,
        );
      }
    }
  });
}
