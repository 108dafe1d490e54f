"""Writes trajectories.json: images that tiny_pipeline's network draws with diffusers' own schedulers, step by step.

The network's weights are those of pipeline.py; its output is taken for whatever a scheduler predicts from. Noise is what this package draws
for the seed: step 0xFFFFFFFF for the start, k for evaluation k. Schedulers are made from the configurations stored beside the
trajectories, and run in float64.

x is the network's input (see samplers.py). It starts as the scheduler's init_noise_sigma says, but for EDMEulerScheduler at
sigma_max, as in Karras et al. 2022.
"""

import importlib
import os

import diffusers
import torch

import formula
import unet
from float64 import double
from pipeline_network import CASE, SETTINGS
from sampling_noise import INITIAL, noise


SEED = 11


def trajectory(name, config, steps, label):
    cls = getattr(diffusers, name)
    current = [0]
    with double(importlib.import_module(cls.__module__), lambda: noise(SEED, current[0])):
        scheduler = cls(**config)
        stored = {k: v for k, v in scheduler.config.items() if not k.startswith("_") and v != -float("inf")}
        stored = {"_class_name": name, **stored}
        scheduler.set_timesteps(steps)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)
        timesteps = scheduler.timesteps
        scaled = getattr(scheduler, "scale_model_input", lambda x, _: x)
        start = config.get("sigma_max", 80.0) if name == "EDMEulerScheduler" else getattr(scheduler, "init_noise_sigma", 1.0)
        x = start * noise(SEED, INITIAL)
        recorded = []
        for k, t in enumerate(timesteps):
            current[0] = k
            out = model(scaled(x, t), t, torch.tensor([label])).sample
            extra = {}
            if config.get("algorithm_type") == "sde-dpmsolver++" and "variance_noise" in cls.step.__code__.co_varnames:
                extra["variance_noise"] = noise(SEED, k)
            whole = name in ("DDPMScheduler", "DDIMScheduler")
            x = scheduler.step(out, int(t) if whole else t, x, **extra).prev_sample
            last = k == len(timesteps) - 1
            after = (x if last else scaled(x, timesteps[k + 1]))[0].permute(1, 2, 0).reshape(-1)
            recorded.append({"max": after.abs().max().item(), "x": (after if last else after[::8]).tolist()})
    return {"steps": steps, "label": label, "seed": SEED, "config": stored, "recorded": recorded}


V = {"prediction_type": "v_prediction"}
KARRAS = {"use_karras_sigmas": True}
SDE = {"algorithm_type": "sde-dpmsolver++"}

torch.set_grad_enabled(False)
torch.set_num_threads(1)
model = unet.build(CASE, SETTINGS, torch.float64).eval()
content = {
    "trajectories": {
        "ddpm": trajectory("DDPMScheduler", V, 4, 0),
        "ddim": trajectory("DDIMScheduler", V, 4, 1),
        "euler": trajectory("EulerDiscreteScheduler", V, 5, 2),
        "euler karras": trajectory("EulerDiscreteScheduler", {**V, **KARRAS}, 5, 0),
        "euler-ancestral": trajectory("EulerAncestralDiscreteScheduler", {**V, "timestep_spacing": "trailing"}, 5, 1),
        "heun": trajectory("HeunDiscreteScheduler", {**V, "clip_sample": True}, 4, 2),
        "dpm++2m": trajectory("DPMSolverMultistepScheduler", V, 6, 0),
        "dpm++2m log-snr": trajectory("DPMSolverMultistepScheduler", {**V, "use_lu_lambdas": True}, 5, 0),
        "dpm++2m-sde": trajectory("DPMSolverMultistepScheduler", {**V, **SDE, **KARRAS}, 6, 1),
        "unipc": trajectory("UniPCMultistepScheduler", V, 6, 2),
        "unipc x0 exponential": trajectory(
            "UniPCMultistepScheduler", {"prediction_type": "sample", "use_exponential_sigmas": True}, 6, 2
        ),
        "edm euler": trajectory("EDMEulerScheduler", {}, 5, 0),
        "edm dpm++2m": trajectory("EDMDPMSolverMultistepScheduler", {"sigma_schedule": "exponential"}, 5, 1),
        "edm dpm++2m-sde": trajectory("EDMDPMSolverMultistepScheduler", SDE, 5, 1),
        "flow euler": trajectory("FlowMatchEulerDiscreteScheduler", {}, 5, 2),
        "flow heun": trajectory("FlowMatchHeunDiscreteScheduler", {}, 4, 0),
    },
}
formula.write(os.path.join(os.path.dirname(__file__), "trajectories.json"), content, 8)
for name, run in content["trajectories"].items():
    print(name, [round(step["max"], 3) for step in run["recorded"]])
