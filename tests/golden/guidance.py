"""Writes guidance.json: guided outputs, rescaled by diffusers' rescale_noise_cfg (Lin et al. 2024, equations 15 and 16).

Outputs of a network with and without the class are 1.5 v("conditional") + 0.4 and v("unconditional"), shape [1, 3, 5, 4]
(NCHW), v being formula.py's value with case "guidance". Computed in float64.
"""

import json
import os

import torch
from diffusers.guiders.guider_utils import rescale_noise_cfg

import formula

SHAPE = (1, 3, 5, 4)
SETTINGS = [(3.0, 0.7), (7.5, 1.0), (0.0, 0.5), (1.5, 0.0)]


def output(name, scale, offset):
    values = formula.values("guidance", name, 60)
    return torch.tensor([scale * value + offset for value in values], dtype=torch.float64).reshape(SHAPE)


conditional = output("conditional", 1.5, 0.4)
unconditional = output("unconditional", 1.0, 0.0)
cases = []
for guidance, rescale in SETTINGS:
    guided = unconditional + guidance * (conditional - unconditional)
    expected = rescale_noise_cfg(guided, conditional, guidance_rescale=rescale)
    cases.append({"guidance": guidance, "rescale": rescale, "out": [round(v, 9) for v in expected.flatten().tolist()]})

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guidance.json")
with open(path, "w") as file:
    json.dump({"shape": SHAPE, "cases": cases}, file)
    file.write("\n")
