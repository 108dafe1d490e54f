"""Reader for `config.json` and `diffusion_pytorch_model.safetensors` that needs only PyTorch."""

import json
import os
import struct

import torch

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8,
}  # fmt: skip


def read_safetensors(path):
    """Tensors by name. Format: header length (u64), JSON header with dtypes, shapes and offsets, values."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
        size = torch.Size(shape).numel()
        if not 0 <= start <= end <= len(data) or end - start != size * dtype.itemsize:
            raise ValueError(f"{path}: {name}: bytes {start} to {end} are not {shape} of {entry['dtype']}")
        tensors[name] = torch.frombuffer(data, dtype=dtype, count=size, offset=start).reshape(shape)
    return tensors


def read_model(directory):
    """Configuration and weights of a model directory, or of the `unet` of a pipeline directory."""
    inner = os.path.join(directory, "unet")
    directory = inner if os.path.isdir(inner) else directory
    with open(os.path.join(directory, "config.json")) as file:
        config = json.load(file)
    return config, read_safetensors(os.path.join(directory, "diffusion_pytorch_model.safetensors"))
