"""Writes torch_zip.pt and torch_legacy.pt: the same checkpoint as torch.save writes it today and before PyTorch 1.6.

Tensors of every floating-point type, views with strides and offsets, two of one storage, a scalar, a parameter and an empty
tensor, nested as training programs do. Element i of a base tensor is i / 4 - 1.
"""

import pathlib
from collections import OrderedDict

import torch

HERE = pathlib.Path(__file__).parent


def base(count, dtype=torch.float32):
    return (torch.arange(count) / 4 - 1).to(dtype)


shared = base(12)
weights = OrderedDict(
    float32=base(6).reshape(2, 3),
    float16=base(6, torch.float16).reshape(3, 2),
    bfloat16=base(4, torch.bfloat16),
    float64=base(3, torch.float64),
    transposed=base(6).reshape(2, 3).T,
    sliced=shared.reshape(3, 4)[1:, 1:3],
    whole=shared,
    permuted=base(24).reshape(2, 3, 4).permute(2, 0, 1),
    scalar=torch.tensor(2.5),
    parameter=torch.nn.Parameter(base(2)),
    empty=torch.zeros(0, 3),
)
weights._metadata = OrderedDict({"": {"version": 1}})
checkpoint = {
    "step": 3,
    "loss": 0.25,
    "large": 2**40,
    "betas": (0.9, 0.999),
    "nothing": (),
    "resumed": False,
    "model": {"scalar": torch.tensor(7.0)},
    "ema": weights,
    "optimizer": {"state": {0: {"step": torch.tensor(3)}}, "param_groups": [{"params": [0, 1]}]},
}
torch.save(checkpoint, HERE / "torch_zip.pt")
torch.save(checkpoint, HERE / "torch_legacy.pt", _use_new_zipfile_serialization=False)
