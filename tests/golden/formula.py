"""Numbers that Python and TypeScript can both compute, so that no weight or input need be stored.

value(case, name, i) is uniform in [-1, 1) and exact in float32: word i mod 4 of Threefry4x32 (13 rounds) with key (0, 0) and counter
(floor(i / 4), FNV-1a(name), FNV-1a(case), 0), read as (word >> 8) * 2^-23 - 1. The twin is formula.ts.
"""

import json

import numpy as np


def fnv1a(text):
    """32-bit FNV-1a of the UTF-8 bytes."""
    state = 0x811C9DC5
    for byte in text.encode():
        state = (state ^ byte) * 0x01000193 & 0xFFFFFFFF
    return state


ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))


def threefry4x32(counter, key=(0, 0)):
    """Threefry4x32, 13 rounds, of an array of counters, shape [n, 4] uint64 -> [n, 4]."""
    low = np.uint64(0xFFFFFFFF)

    def rotated(x, by):
        return (x << np.uint64(by) | x >> np.uint64(32 - by)) & low

    k, l = (int(word) for word in key)
    schedule = [np.uint64(word) for word in (k, l, 0, 0, k ^ l ^ 0x1BD11BDA)]
    x = [column + word & low for column, word in zip(np.asarray(counter, np.uint64).T, schedule)]
    for number in range(13):
        pairs = ((0, 1), (2, 3)) if number % 2 == 0 else ((0, 3), (2, 1))
        for (a, b), by in zip(pairs, ROTATIONS[number % 8]):
            x[a] = x[a] + x[b] & low
            x[b] = rotated(x[b], by) ^ x[a]
        if number % 4 == 3:
            injection = (number + 1) // 4
            x = [word + schedule[(injection + i) % 5] & low for i, word in enumerate(x)]
            x[3] = x[3] + np.uint64(injection) & low
    return np.stack(x, axis=1)


def values(case, name, count):
    """value(case, name, 0 … count - 1), float64 numbers that float32 holds exactly."""
    blocks = (count + 3) // 4
    counter = np.zeros((blocks, 4), np.uint64)
    counter[:, 0] = np.arange(blocks)
    counter[:, 1] = fnv1a(name)
    counter[:, 2] = fnv1a(case)
    words = threefry4x32(counter).reshape(-1)[:count]
    return (words >> np.uint64(8)).astype(np.float64) * 2.0**-23 - 1


def scaled(case, name, shape, scale, offset=0.0):
    """offset + scale * value in float64, rounded once to float32."""
    flat = offset + scale * values(case, name, int(np.prod(shape)))
    return flat.astype(np.float32).reshape(shape)


def parameter(case, name, shape):
    """A parameter: norm weights 1 + 0.3 v, biases 0.2 v, matrices and kernels sqrt(3 / fan_in) v."""
    if len(shape) > 1:
        return scaled(case, name, shape, np.sqrt(3 / np.prod(shape[1:])))
    if name.endswith(".bias"):
        return scaled(case, name, shape, 0.2)
    return scaled(case, name, shape, 0.3, 1.0)


def digest(tensor, samples=64, whole=256):
    """What is stored of a tensor: everything below `whole` numbers, else some of it and its sum, L2 norm and maximum.

    Sample k is element k * 7919 mod size, in row-major order of PyTorch's layout (NCHW, OIHW); 7919 is a prime, so that no
    kernel tap, channel or row is always missed.
    """
    flat = tensor.detach().double().numpy().reshape(-1)
    size = flat.size
    chosen = flat if size < whole else flat[np.arange(samples) * 7919 % size]
    return {
        "shape": list(tensor.shape),
        "sum": flat.sum(),
        "norm": np.sqrt((flat * flat).sum()),
        "max": np.abs(flat).max(),
        "values": list(chosen),
    }


def write(path, content, digits):
    """Writes JSON with floats of so many significant digits and one line per innermost object."""

    def compact(item):
        if isinstance(item, (float, np.floating)):
            return float(f"{float(item):.{digits}g}")
        if isinstance(item, np.integer):
            return int(item)
        if isinstance(item, dict):
            return {key: compact(value) for key, value in item.items()}
        if isinstance(item, (list, tuple, np.ndarray)):
            return [compact(value) for value in item]
        return item

    def text(item, depth):
        nested = isinstance(item, dict) and depth < 2 and item
        if not nested:
            return json.dumps(item, separators=(",", ":"))
        inner = ",\n".join(f"{json.dumps(key)}: {text(value, depth + 1)}" for key, value in item.items())
        return "{\n" + inner + "\n}"

    with open(path, "w") as file:
        file.write(text(compact(content), 0) + "\n")
