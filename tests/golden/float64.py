"""Runs diffusers' schedulers in float64, with noise that is given."""

import contextlib
from unittest import mock

import numpy as np
import torch


@contextlib.contextmanager
def double(module, noise):
    """float64 where a scheduler of the module asks for float32 of torch or numpy, and noise() in place of random numbers."""
    torch.set_default_dtype(torch.float64)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(torch, "float32", torch.float64))
        stack.enter_context(mock.patch.object(np, "float32", np.float64))
        if hasattr(module, "randn_tensor"):
            stack.enter_context(mock.patch.object(module, "randn_tensor", lambda *_, **__: noise()))
        yield
    torch.set_default_dtype(torch.float32)
