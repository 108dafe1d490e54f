"""Writes fixture.safetensors with the reference implementation (safetensors 0.8.0, torch 2.15.0).

tests/files/safetensors_test.ts reads it and writes it again, byte for byte.
"""

import pathlib

import torch
from safetensors.torch import save_file

tensors = {
    "f32.matrix": torch.tensor([[0.0, -0.0, 1.5], [1e-45, 3.4028234663852886e38, float("-inf")]]),
    "f64": torch.tensor([0.1, -2.5e300], dtype=torch.float64),
    "f16": torch.tensor([1.0, -2.0, 65504.0, 2.0**-24, 2.0**-14, 0.333251953125, float("inf")], dtype=torch.float16),
    "bf16": torch.tensor([1.0, -2.0, 3.0e38, 1e-40, float("-inf")], dtype=torch.bfloat16),
    "i64": torch.tensor([-(2**63), 2**53 + 1]),
    "i32": torch.tensor([[-(2**31)], [7]], dtype=torch.int32),
    "u32": torch.tensor([2**32 - 1], dtype=torch.uint32),
    "u8": torch.tensor([0, 255, 3], dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(2.25),
    "empty": torch.zeros(0, 4),
    'name "with" ünïcode\n': torch.tensor([1.0]),
}
save_file(tensors, pathlib.Path(__file__).with_name("fixture.safetensors"), metadata={"format": "pt"})
