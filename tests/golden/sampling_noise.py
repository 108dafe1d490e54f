"""Noise that this package draws when sampling (Threefry4x32, see slot_noise.wgsl and sampler_step.wgsl)."""

import numpy as np
import torch

import formula

INITIAL = 0xFFFFFFFF


def noise(seed, step, use=0):
    """Standard normal numbers [1, 3, 8, 8] of one step of one image; use 1 is the noise of a known image."""
    pixels = 64
    counter = np.zeros((pixels, 4), np.uint64)
    counter[:, 0] = np.arange(pixels)
    counter[:, 1] = step
    counter[:, 2] = use
    counter[:, 3] = 2
    words = formula.threefry4x32(counter, (seed % 2**32, seed >> 32))
    lanes = []
    for a, b in ((words[:, 0], words[:, 1]), (words[:, 2], words[:, 3])):
        radius = np.sqrt(-2 * np.log(((a >> np.uint64(9)).astype(np.float64) + 0.5) * 2.0**-23))
        angle = 2 * np.pi * ((b >> np.uint64(8)).astype(np.float64) * 2.0**-24 - 0.5)
        lanes += [radius * np.cos(angle), radius * np.sin(angle)]
    return torch.from_numpy(np.stack(lanes[:3]).reshape(1, 3, 8, 8))
