"""Loads an exported model in diffusers and compares one forward pass with ours, which exchange.ts wrote:

    deno run -A tests/golden/exchange.ts MODEL forward.json
    venv/bin/python tests/golden/exchange.py MODEL forward.json

Prints the largest difference from diffusers in float64 as a share of the largest output. Run by hand; no test needs Python.
"""

import json
import sys

import diffusers
import torch

import formula
import unet

directory, ours = sys.argv[1:]
with open(ours) as file:
    written = json.load(file)
model, loading = diffusers.UNet2DModel.from_pretrained(f"{directory}/unet", output_loading_info=True)
faults = {name: keys for name, keys in loading.items() if keys}
assert not faults, faults
index = diffusers.DiffusionPipeline.load_config(directory)
scheduler = getattr(diffusers, index["scheduler"][1]).from_pretrained(f"{directory}/scheduler")

model = model.to(torch.float64)
if model.config.time_embedding_type == "positional":
    model.time_proj = unet.TimeProjection(model.time_proj, torch.float64)
inputs = written["inputs"]
names = ["x", "estimate"] if written["config"].get("self_conditioning") else ["x"]
x = torch.cat([unet.tensor("exchange", name, inputs["shape"], 2, torch.float64) for name in names], dim=1)
labels = None if inputs["labels"] is None else torch.tensor(inputs["labels"])
kind = torch.int64 if model.config.time_embedding_type == "learned" else torch.float64
with torch.no_grad():
    output = model(x, torch.tensor(inputs["timesteps"], dtype=kind), labels).sample
difference = (torch.tensor(written["output"], dtype=torch.float64).reshape(output.shape) - output).abs().max() / output.abs().max()
print(f"{directory}: {type(scheduler).__name__}, {model.config.in_channels} to {model.config.out_channels} channels, "
      f"largest output {output.abs().max():.3g}, off by {difference:.2g} of it")
