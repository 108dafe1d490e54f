import assert from "node:assert/strict";
import { samplerFromDiffusers, samplerToDiffusers } from "../../lib/diffusion/diffusers_sampler.ts";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { planSampling, type SamplerChoice } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { processFromDiffusers, type TrainedProcess } from "../../lib/diffusion/trained_process.ts";
import { ConfigError } from "../../lib/errors.ts";

function read(json: Record<string, unknown>) {
  const notes: string[] = [];
  const process = processFromDiffusers(json, (note) => notes.push(note));
  const choice = samplerFromDiffusers(json, (note) => notes.push(note));
  return { process, choice, notes };
}

Deno.test("a scheduler's configuration names sampler and spacing, and clips only if the scheduler does", () => {
  const cases: [Record<string, unknown>, SamplerChoice | undefined, number | false][] = [
    [{ _class_name: "DDPMScheduler" }, undefined, 1],
    [{ _class_name: "DDIMScheduler", timestep_spacing: "trailing" }, undefined, 1],
    [{ _class_name: "EulerDiscreteScheduler" }, { sampler: "euler", spacing: "linspace" }, false],
    [
      { _class_name: "EulerDiscreteScheduler", timestep_spacing: "leading", clip_sample: true },
      { sampler: "euler", spacing: "leading" },
      false,
    ],
    [{ _class_name: "HeunDiscreteScheduler", use_karras_sigmas: true }, {
      sampler: "heun",
      spacing: "karras",
    }, false],
    [
      { _class_name: "HeunDiscreteScheduler", clip_sample: true },
      { sampler: "heun", spacing: "linspace" },
      1,
    ],
    [
      { _class_name: "DPMSolverMultistepScheduler", algorithm_type: "sde-dpmsolver++", use_lu_lambdas: true },
      { sampler: "dpm++2m-sde", spacing: "log-snr" },
      false,
    ],
    [{ _class_name: "UniPCMultistepScheduler" }, { sampler: "unipc", spacing: "linspace" }, false],
    [{ _class_name: "EDMEulerScheduler" }, { sampler: "euler", spacing: "karras" }, false],
    [
      { _class_name: "EDMDPMSolverMultistepScheduler", sigma_schedule: "exponential" },
      { sampler: "dpm++2m", spacing: "exponential" },
      false,
    ],
    [{ _class_name: "FlowMatchHeunDiscreteScheduler" }, { sampler: "heun", spacing: "linspace" }, false],
  ];
  for (const [json, expected, clip] of cases) {
    const { process, choice, notes } = read(json);
    assert.deepEqual([choice, process.clip, notes], [expected, clip, []], JSON.stringify(json));
  }
});

Deno.test("fields that a sampler does not support are named, with what it does instead", () => {
  const notes = (json: Record<string, unknown>) => read(json).notes.join("; ");
  assert.equal(
    notes({ _class_name: "DPMSolverMultistepScheduler", solver_order: 3, solver_type: "heun" }),
    'the sampler is dpm++2m, which does not support its solver_order 3 (here 2), solver_type "heun" (here "midpoint")',
  );
  assert.equal(
    notes({ _class_name: "DPMSolverMultistepScheduler", algorithm_type: "dpmsolver" }),
    'the sampler is dpm++2m, which does not support its algorithm_type "dpmsolver" (here "dpmsolver++")',
  );
  assert.match(
    notes({ _class_name: "EulerDiscreteScheduler", use_karras_sigmas: true, timestep_spacing: "trailing" }),
    /use_karras_sigmas within timestep_spacing "trailing" \(here of all noise levels\)/,
  );
  assert.match(notes({ _class_name: "KDPM2DiscreteScheduler" }), /the sampler one of this project's own/);
});

const processes: readonly TrainedProcess[] = [
  new NoiseSchedule({ objective: "v", betaSchedule: "cosine", stepsOffset: 1 }),
  new RectifiedFlow({ clip: 0.8 }),
  new EdmProcess({ sigmaMax: 40, clip: 1 }),
];

Deno.test("samplers are written as schedulers that read back as the same plan", () => {
  const choices: [TrainedProcess, SamplerChoice[]][] = [
    [processes[0], [
      { sampler: "euler" },
      { sampler: "euler", spacing: "karras" },
      { sampler: "euler-ancestral", spacing: "trailing" },
      { sampler: "heun", spacing: "exponential" },
      { sampler: "dpm++2m", spacing: "log-snr" },
      { sampler: "dpm++2m-sde", spacing: "leading" },
      { sampler: "unipc", spacing: "karras" },
    ]],
    [processes[1], [{ sampler: "euler" }, { sampler: "heun" }, { sampler: "euler", spacing: "karras" }]],
    [processes[2], [{ sampler: "euler" }, { sampler: "dpm++2m", spacing: "exponential" }, {
      sampler: "dpm++2m-sde",
    }]],
  ];
  for (const [process, all] of choices) {
    for (const wanted of all) {
      const { process: again, choice, notes } = read(samplerToDiffusers(process, wanted));
      assert.deepEqual(notes, []);
      assert.ok(choice);
      assert.equal(choice.sampler, wanted.sampler);
      if (wanted.spacing) assert.equal(choice.spacing, wanted.spacing);
      const clip = false as const; // most of these schedulers have none
      assert.deepEqual(
        planSampling(choice.sampler, again, { steps: 4, spacing: choice.spacing, clip }),
        planSampling(choice.sampler, process, { steps: 4, spacing: choice.spacing, clip }),
      );
    }
  }
  assert.equal(samplerToDiffusers(processes[0], {})._class_name, "DDIMScheduler");
  assert.equal(samplerToDiffusers(processes[0], { sampler: "ddpm" })._class_name, "DDPMScheduler");
});

Deno.test("clipping of rectified flow and EDM is kept in fields that diffusers ignores", () => {
  for (const process of processes.slice(1)) {
    assert.equal(read(samplerToDiffusers(process, { sampler: "euler" })).process.clip, process.clip);
  }
});

Deno.test("what diffusers has no scheduler for is refused by name", () => {
  const refused: [TrainedProcess, SamplerChoice, RegExp][] = [
    [processes[0], { sampler: "edm" }, /^sampler: .*unipc: diffusers has no scheduler for others/],
    [
      processes[0],
      { sampler: "euler", spacing: "log-snr" },
      /^spacing: .*EulerDiscreteScheduler has no others/,
    ],
    [processes[0], { sampler: "ddim", spacing: "karras" }, /^spacing: .*no others for ddim/],
    [processes[1], { sampler: "unipc" }, /^sampler: expected euler, heun: diffusers/],
    [processes[2], { sampler: "ddpm" }, /for schedules of betas only/],
  ];
  for (const [process, choice, words] of refused) {
    assert.throws(() => samplerToDiffusers(process, choice), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, words);
      return true;
    });
  }
});
