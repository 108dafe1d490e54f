"""Writes tiny_pipeline/: a class-conditional pipeline as diffusers saves it, and expected.json beside it.

Weights come from formula.py (case "tiny_pipeline"). expected.json holds, of diffusers' own UNet2DModel and schedulers: the
network's output for a formula input; and images drawn with classifier-free guidance by DDIM and by DDPM from the noise that
this package draws (Threefry4x32, see slot_noise.wgsl and sampler_step.wgsl). Everything is computed in float64.
"""

import json
import os
import pathlib
import shutil
from unittest import mock

import diffusers
import numpy as np
import torch
from diffusers.schedulers import scheduling_ddpm

import formula
import unet
from pipeline_network import CASE, SETTINGS
from sampling_noise import noise

HERE = pathlib.Path(__file__).parent
SCHEDULE = {"variance_type": "fixed_large", "num_train_timesteps": 1000}
NULL = 3


def build_scheduler(cls):
    with mock.patch.object(torch, "float32", torch.float64):
        return cls.from_config({**diffusers.DDPMScheduler(**SCHEDULE).config})


def draw(model, sampler, label, seed, steps, guidance, eta):
    scheduler = build_scheduler(diffusers.DDIMScheduler if sampler == "ddim" else diffusers.DDPMScheduler)
    scheduler.set_timesteps(steps)
    x = noise(seed, 0xFFFFFFFF)
    for k, t in enumerate(scheduler.timesteps.tolist()):
        out = model(x.expand(2, -1, -1, -1), t, torch.tensor([label, NULL])).sample
        out = out[1:] + guidance * (out[:1] - out[1:])
        z = noise(seed, k)
        if sampler == "ddim":
            x = scheduler.step(out, t, x, eta=eta, variance_noise=z if eta > 0 else None).prev_sample
        else:
            with mock.patch.object(scheduling_ddpm, "randn_tensor", lambda *_, **__: z):
                x = scheduler.step(out, t, x).prev_sample
    options = {"class": label, "seed": seed, "steps": steps, "sampler": sampler, "guidance": guidance}
    if eta is not None:
        options["eta"] = eta
    return {"options": options, "image": x[0].permute(1, 2, 0).reshape(-1).tolist()}


torch.set_grad_enabled(False)
torch.set_num_threads(1)
target = HERE / CASE
shutil.rmtree(target, ignore_errors=True)
single = unet.build(CASE, SETTINGS, torch.float32).eval()
plain = diffusers.UNet2DModel(**{key: value for key, value in SETTINGS.items() if key != "_class_name"})
plain.load_state_dict(single.state_dict())
diffusers.DDPMPipeline(plain, diffusers.DDPMScheduler(**SCHEDULE)).save_pretrained(target)
# Three classes for a table of four rows: the last one is the null class.
index = target / "model_index.json"
labels = {"_class_labels": [str(label) for label in range(NULL)]}
index.write_text(json.dumps({**json.loads(index.read_text()), **labels}, indent=2) + "\n")

model = unet.build(CASE, SETTINGS, torch.float64).eval()
shape, timesteps, labels = [2, 3, 8, 8], [10, 900], [1, NULL]
inputs = [unet.tensor(CASE, "x", shape, 2, dtype) for dtype in (torch.float64, torch.float32)]
output, rough = [
    net(x, torch.tensor(timesteps), torch.tensor(labels)).sample for net, x in zip((model, single), inputs)
]
expected = {
    "inputs": {"shape": shape, "timesteps": timesteps, "labels": labels},
    "float32": unet.worst({"": rough}, {"": output}),
    "output": formula.digest(output, 256),
    "images": [
        draw(model, "ddim", 1, 7, 5, 2.0, 0.0),
        draw(model, "ddim", 2, 2**40 + 3, 4, 1.5, 1.0),
        draw(model, "ddpm", 0, 1, 6, 3.0, None),
    ],
}
formula.write(os.path.join(target, "expected.json"), expected, 7)
print(sum(p.numel() for p in plain.parameters()), "parameters")
for path in sorted(target.rglob("*")):
    if path.is_file():
        print(path.relative_to(HERE), path.stat().st_size)
print(json.dumps(expected["float32"]), [np.abs(image["image"]).max() for image in expected["images"]])
