"""Writes schedulers.json: tables and trajectories of diffusers' DDPMScheduler and DDIMScheduler.

A trajectory starts from x = 1.7 v("x") and takes, in place of a network, out = gain x + 0.5 v("out", step), with noise
sqrt(3) v("noise", step); v is formula.py's value with case "schedulers", and step k of 16 numbers reads elements 16 k on. The
noise of the last step is zero. Most run diffusers' own code on float64 tables (its constructor asks for torch.float32, which
is torch.float64 meanwhile), because its float32 tables lose up to four digits in 1 - acp at small timesteps; those
marked "float32" run it as it ships.
"""

import os
from unittest import mock

import diffusers
import numpy as np
import torch
from diffusers.schedulers import scheduling_ddpm

import formula

WIDTH = 16
CASE = "schedulers"


def build(cls, config, tables="float64"):
    dtype = torch.float64 if tables == "float64" else torch.float32
    with mock.patch.object(torch, "float32", dtype):
        torch.set_default_dtype(dtype)
        try:
            return cls(**config)
        finally:
            torch.set_default_dtype(torch.float)


def inputs(name, step):
    return torch.tensor(formula.values(CASE, name, WIDTH * (step + 1))[-WIDTH:]).reshape(1, WIDTH)


def trajectory(sampler, config, steps, gain, eta=None, tables="float64", every=1):
    cls = {"ddpm": diffusers.DDPMScheduler, "ddim": diffusers.DDIMScheduler}[sampler]
    scheduler = build(cls, config, tables)
    scheduler.set_timesteps(steps)
    x = 1.7 * inputs("x", 0)
    recorded = []
    for k, t in enumerate(scheduler.timesteps.tolist()):
        last = k == steps - 1
        noise = torch.zeros_like(x) if last else np.sqrt(3) * inputs("noise", k)
        out = gain * x + 0.5 * inputs("out", k)
        if sampler == "ddpm":
            with mock.patch.object(scheduling_ddpm, "randn_tensor", lambda *_, **__: noise):
                result = scheduler.step(out, t, x)
        else:
            result = scheduler.step(out, t, x, eta=eta, variance_noise=noise if eta > 0 else None)
        x = result.prev_sample
        assert x.dtype == torch.float64
        if k % every == every - 1 or last:
            recorded.append({"step": k, "x": x[0].tolist(), "x0": result.pred_original_sample[0].tolist()})
    stored = {"_class_name": cls.__name__, **config}
    options = {"sampler": sampler, "steps": steps, "gain": gain, "tables": tables}
    if eta is not None:
        options["eta"] = eta
    return {**options, "config": stored, "timesteps": scheduler.timesteps.tolist(), "recorded": recorded}


def table(config):
    """Tables as shipped (float32), and in float64, at some timesteps."""
    shipped = build(diffusers.DDPMScheduler, config, "float32")
    exact = build(diffusers.DDPMScheduler, config)
    count = len(shipped.betas)
    chosen = sorted({0, 1, 2, min(10, count - 1), count // 4, count // 2, count - 2, count - 1})
    return {
        "config": {"_class_name": "DDPMScheduler", **config},
        "timesteps": chosen,
        "betas": exact.betas[chosen].tolist(),
        "alphasCumprod": exact.alphas_cumprod[chosen].tolist(),
        "shippedAlphasCumprod": shipped.alphas_cumprod[chosen].double().tolist(),
        "smallVariance": [float(exact._get_variance(t, variance_type="fixed_small")) for t in chosen],
    }


def spacing(name, total, steps, offset=0):
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=total, timestep_spacing=name, steps_offset=offset)
    scheduler.set_timesteps(steps)
    return {"spacing": name, "total": total, "steps": steps, "offset": offset, "timesteps": scheduler.timesteps.tolist()}


def levels(cls, steps, **options):
    """Configuration of a scheduler with continuous noise levels, and the levels it visits."""
    scheduler = cls()
    scheduler.set_timesteps(steps, **options)
    config = {name: value for name, value in scheduler.config.items() if not name.startswith("_")}
    return {
        "config": {"_class_name": cls.__name__, **config},
        "timesteps": scheduler.timesteps.double().tolist(),
        "sigmas": scheduler.sigmas.double().tolist()[:steps],
    }


LARGE = {"variance_type": "fixed_large"}
SMALL = {"variance_type": "fixed_small"}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
V = {"prediction_type": "v_prediction"}
SAMPLE = {"prediction_type": "sample"}
FREE = {"clip_sample": False}

content = {
    "tables": {
        "linear": table({}),
        "short": table({"num_train_timesteps": 50, "beta_start": 0.001, "beta_end": 0.3}),
        "scaled_linear": table({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}),
        "cosine": table(COSINE),
        "sigmoid": table({"beta_schedule": "sigmoid"}),
        "laplace": table({"beta_schedule": "laplace"}),
        "custom": table({"trained_betas": [0.001, 0.01, 0.02, 0.1, 0.3, 0.4, 0.6], "num_train_timesteps": 7}),
        "zero terminal SNR": table({**V, "rescale_betas_zero_snr": True}),
        "short cosine with zero terminal SNR": table({**V, **COSINE, "rescale_betas_zero_snr": True, "num_train_timesteps": 20}),
    },
    "spacings": {
        f"{name} {total} {steps} {offset}": spacing(name, total, steps, offset)
        for name, total, steps, offset in [
            ("leading", 1000, 1, 0), ("leading", 1000, 7, 0), ("leading", 1000, 10, 3), ("leading", 100, 100, 0),
            ("trailing", 1000, 1, 0), ("trailing", 1000, 7, 0), ("trailing", 1000, 16, 0), ("trailing", 100, 48, 0),
            ("linspace", 1000, 1, 0), ("linspace", 1000, 2, 0), ("linspace", 1000, 7, 0), ("linspace", 100, 100, 0),
        ]
    },
    "levels": {
        "flow": levels(diffusers.FlowMatchEulerDiscreteScheduler, 7),
        "edm": levels(diffusers.EDMEulerScheduler, 7),
    },
    "trajectories": {
        "ddpm 10 large": trajectory("ddpm", LARGE, 10, 0.9),
        "ddpm 10 large as shipped": trajectory("ddpm", LARGE, 10, 0.9, tables="float32"),
        "ddpm 50 large": trajectory("ddpm", LARGE, 50, 0.9, every=7),
        "ddpm 50 small": trajectory("ddpm", SMALL, 50, 0.9, every=7),
        "ddpm 7 small free": trajectory("ddpm", {**SMALL, **FREE}, 7, 0.9),
        "ddpm 10 large trailing": trajectory("ddpm", {**LARGE, "timestep_spacing": "trailing"}, 10, 0.9),
        "ddpm 6 small linspace": trajectory("ddpm", {**SMALL, "timestep_spacing": "linspace"}, 6, 0.9),
        "ddpm 10 large v": trajectory("ddpm", {**LARGE, **V}, 10, -0.4),
        "ddpm 10 small x0 cosine": trajectory("ddpm", {**SMALL, **SAMPLE, **COSINE}, 10, 0.5),
        "ddpm 20 large all of T": trajectory(
            "ddpm", {**LARGE, "num_train_timesteps": 20, "beta_end": 0.5, "clip_sample_range": 0.8}, 20, 0.9, every=3
        ),
        "ddim 10": trajectory("ddim", {}, 10, 0.9, eta=0.0),
        "ddim 10 as shipped": trajectory("ddim", {}, 10, 0.9, eta=0.0, tables="float32"),
        "ddim 50 eta 0.5": trajectory("ddim", {}, 50, 0.9, eta=0.5, every=7),
        "ddim 10 eta 1 free": trajectory("ddim", FREE, 10, 0.9, eta=1.0),
        "ddim 10 v cosine": trajectory("ddim", {**V, **COSINE}, 10, -0.4, eta=0.0),
        "ddim 10 eta 0.5 x0": trajectory("ddim", SAMPLE, 10, 0.5, eta=0.5),
        "ddim 7 trailing": trajectory("ddim", {"timestep_spacing": "trailing"}, 7, 0.9, eta=0.0),
        "ddim 6 linspace": trajectory("ddim", {"timestep_spacing": "linspace"}, 6, 0.9, eta=0.0),
        "ddim 10 offset 1 acp_0": trajectory("ddim", {"steps_offset": 1, "set_alpha_to_one": False}, 10, 0.9, eta=1.0),
    },
}

formula.write(os.path.join(os.path.dirname(__file__), "schedulers.json"), content, 13)
