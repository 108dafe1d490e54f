"""Writes samplers.json: trajectories of diffusers' schedulers for Euler, Heun, DPM-Solver++, UniPC, EDM, rectified flow and a learned
variance.

A trajectory starts from 1.7 v("x") and takes, in place of a network, out = gain x + 0.5 v("out", step), with noise
sqrt(3) v("noise", step), and for a learned variance v("variance", step); v is formula.py's value with case "samplers", and step k of 16
numbers reads elements 16 k on. The noise of the last step is zero. One that begins later starts from the image 0.8 v("image") with
1.7 v("x") as its noise.

x is the network's input throughout. Euler, Heun and EDM schedulers hold x divided by its signal (x_0 + sigma eps) and scale
it for the network: here their x is scaled the same way before it is stored, and the start divided by the first scale.

Everything runs in float64: the schedulers ask for float32 of torch and numpy, which is float64 meanwhile.
"""

import importlib
import os

import diffusers
import numpy as np
import torch

import formula
from float64 import double

WIDTH = 16
CASE = "samplers"


def inputs(name, step):
    return torch.tensor(formula.values(CASE, name, WIDTH * (step + 1))[-WIDTH:]).reshape(1, WIDTH)


def trajectory(sampler, name, config, steps, gain=0.9, spacing=None, every=1, begin=0):
    cls = getattr(diffusers, name)
    current = [0]
    last = [1]

    def noise():
        return torch.zeros(1, WIDTH) if current[0] == last[0] else np.sqrt(3) * inputs("noise", current[0])

    with double(importlib.import_module(cls.__module__), noise):
        scheduler = cls(**config)
        scheduler.set_timesteps(steps)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin * scheduler.order)
        timesteps = scheduler.timesteps[begin * scheduler.order :]
        last[0] = len(timesteps) - 1
        scaled = getattr(scheduler, "scale_model_input", lambda x, _: x)
        x = 1.7 * inputs("x", 0)
        if begin == 0:
            x = x / scaled(torch.ones(1), timesteps[0])
        else:
            x = scheduler.add_noise(0.8 * inputs("image", 0), x, timesteps[:1])
        recorded = []
        for k, t in enumerate(timesteps):
            current[0] = k
            seen = scaled(x, t)
            out = gain * seen + 0.5 * inputs("out", k)
            if config.get("variance_type") == "learned_range":
                out = torch.cat([out, inputs("variance", k)], dim=1)
            extra = {}
            if config.get("algorithm_type") == "sde-dpmsolver++" and "variance_noise" in cls.step.__code__.co_varnames:
                extra["variance_noise"] = noise()
            whole = sampler in ("ddpm", "ddim")
            x = scheduler.step(out, int(t) if whole else t, x, **extra).prev_sample
            assert x.dtype == torch.float64 and torch.isfinite(x).all(), name
            if k % every == every - 1 or k == last[0]:
                after = x if k == last[0] else scaled(x, timesteps[k + 1])
                recorded.append({"step": k, "x": after[0].tolist()})
        return {
            "sampler": sampler,
            "spacing": spacing or config.get("timestep_spacing", "linspace"),
            "steps": steps,
            **({"begin": begin} if begin else {}),
            "gain": gain,
            "config": {"_class_name": name, **config},
            "timesteps": timesteps.tolist(),
            "recorded": recorded,
        }


DDIM = "DDIMScheduler"
EULER = "EulerDiscreteScheduler"
ANCESTRAL = "EulerAncestralDiscreteScheduler"
HEUN = "HeunDiscreteScheduler"
DPM = "DPMSolverMultistepScheduler"
UNIPC = "UniPCMultistepScheduler"
EDM = "EDMEulerScheduler"
EDM_DPM = "EDMDPMSolverMultistepScheduler"
FLOW = "FlowMatchEulerDiscreteScheduler"
FLOW_HEUN = "FlowMatchHeunDiscreteScheduler"

V = {"prediction_type": "v_prediction"}
SAMPLE = {"prediction_type": "sample"}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
LINEAR = {"beta_start": 1e-4, "beta_end": 0.02}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = {"timestep_spacing": "trailing"}
KARRAS = {"use_karras_sigmas": True}
EXPONENTIAL = {"use_exponential_sigmas": True}
LU = {"use_lu_lambdas": True}
SDE = {"algorithm_type": "sde-dpmsolver++"}
LEARNED = {"variance_type": "learned_range"}

content = {
    "trajectories": {
        "ddpm 8 learned": trajectory("ddpm", "DDPMScheduler", LEARNED, 8, spacing="leading"),
        "ddpm 6 learned v trailing": trajectory("ddpm", "DDPMScheduler", {**LEARNED, **V, **TRAILING}, 6, -0.4),
        "euler 7": trajectory("euler", EULER, {}, 7),
        "euler 6 leading v": trajectory("euler", EULER, {**LEADING, **V}, 6, -0.4),
        "euler 6 trailing x0 cosine": trajectory("euler", EULER, {**TRAILING, **SAMPLE, **COSINE}, 6, 0.5),
        "euler 8 karras": trajectory("euler", EULER, KARRAS, 8, spacing="karras"),
        "euler 8 exponential v": trajectory("euler", EULER, {**EXPONENTIAL, **V}, 8, -0.4, spacing="exponential"),
        "ancestral 7": trajectory("euler-ancestral", ANCESTRAL, {}, 7),
        "ancestral 6 leading v": trajectory("euler-ancestral", ANCESTRAL, {**LEADING, **V}, 6, -0.4),
        "heun 5": trajectory("heun", HEUN, LINEAR, 5),
        "heun 5 karras v clipped": trajectory(
            "heun", HEUN, {**KARRAS, **V, "clip_sample": True, "clip_sample_range": 0.8}, 5, -0.4, spacing="karras"
        ),
        "heun 4 trailing x0": trajectory("heun", HEUN, {**TRAILING, **SAMPLE}, 4, 0.5),
        "2m 8": trajectory("dpm++2m", DPM, {}, 8),
        "2m 20": trajectory("dpm++2m", DPM, {}, 20, every=6),
        "2m 6 leading v": trajectory("dpm++2m", DPM, {**LEADING, **V}, 6, -0.4),
        "2m 7 trailing x0 cosine": trajectory("dpm++2m", DPM, {**TRAILING, **SAMPLE, **COSINE}, 7, 0.5),
        "2m 8 karras": trajectory("dpm++2m", DPM, KARRAS, 8, spacing="karras"),
        "2m 8 exponential": trajectory("dpm++2m", DPM, EXPONENTIAL, 8, spacing="exponential"),
        "2m 8 log-snr v": trajectory("dpm++2m", DPM, {**LU, **V}, 8, -0.4, spacing="log-snr"),
        "2m sde 8": trajectory("dpm++2m-sde", DPM, SDE, 8),
        "2m sde 6 karras v": trajectory("dpm++2m-sde", DPM, {**SDE, **KARRAS, **V}, 6, -0.4, spacing="karras"),
        "unipc 8": trajectory("unipc", UNIPC, {}, 8),
        "unipc 20": trajectory("unipc", UNIPC, {}, 20, every=6),
        "unipc 6 leading v": trajectory("unipc", UNIPC, {**LEADING, **V}, 6, -0.4),
        "unipc 7 trailing x0 cosine": trajectory("unipc", UNIPC, {**TRAILING, **SAMPLE, **COSINE}, 7, 0.5),
        "unipc 8 karras": trajectory("unipc", UNIPC, KARRAS, 8, spacing="karras"),
        "unipc 8 exponential": trajectory("unipc", UNIPC, EXPONENTIAL, 8, spacing="exponential"),
        "edm euler 8": trajectory("euler", EDM, {}, 8, spacing="karras"),
        "edm euler 6 exponential": trajectory(
            "euler", EDM, {"sigma_schedule": "exponential", "sigma_max": 20.0, "sigma_data": 0.4}, 6, spacing="exponential"
        ),
        "edm 2m 8": trajectory("dpm++2m", EDM_DPM, {}, 8, spacing="karras"),
        "edm 2m sde 6": trajectory("dpm++2m-sde", EDM_DPM, SDE, 6, spacing="karras"),
        "flow euler 7": trajectory("euler", FLOW, {}, 7, -0.4),
        "flow euler 6 karras": trajectory("euler", FLOW, KARRAS, 6, -0.4, spacing="karras"),
        "flow euler 6 exponential": trajectory("euler", FLOW, EXPONENTIAL, 6, -0.4, spacing="exponential"),
        "flow heun 5": trajectory("heun", FLOW_HEUN, {}, 5, -0.4),
        "ddim 7 from 3": trajectory("ddim", DDIM, {}, 7, spacing="leading", begin=3),
        "euler 7 from 3": trajectory("euler", EULER, {}, 7, begin=3),
        "heun 6 from 2": trajectory("heun", HEUN, KARRAS, 6, spacing="karras", begin=2),
        "2m 8 from 3": trajectory("dpm++2m", DPM, {}, 8, begin=3),
        "unipc 8 from 3 v": trajectory("unipc", UNIPC, V, 8, -0.4, begin=3),
    },
}

formula.write(os.path.join(os.path.dirname(__file__), "samplers.json"), content, 13)
