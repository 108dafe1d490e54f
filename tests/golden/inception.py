"""Writes inception_*.json: features of the InceptionV3 by which FID is computed, on weights and images from formula.py.

The network is written here, so that neither torchvision nor anyone's weights are needed. It is that of the TensorFlow graph
"inception-2015-12-05": unlike Szegedy et al. 2016 it averages only pixels inside the image, and the last block has a max pool.
Keys of its state dict are those of the weights as published for PyTorch. `small` divides all widths by 16 and resizes to 139 pixels;
`full` is the network itself. Everything is computed in float64; `float32` says how far the same code in float32 is off.
"""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import formula

CASES = {
    "small": {"divisor": 16, "side": 139, "images": [2, 3, 20, 24]},
    "full": {"divisor": 1, "side": 299, "images": [2, 3, 32, 32]},
}


class Conv(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def average3(x):
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class Block(nn.Module):
    """Branches by name, each of layers (name, outputs, kernel); names of the layers are those of the state dict.

    A kernel (h, w) keeps the size; a negative one is a 3x3 of stride 2 without padding. A list of layers at the end of a branch
    are two that read the same, and whose results are joined.
    """

    def __init__(self, inputs, branches, pool, width):
        super().__init__()
        self.branches = branches
        self.pool = pool
        outputs = 0

        def add(name, inputs, channels, kernel):
            channels = channels // width
            if kernel == -3:
                layer = Conv(inputs, channels, 3, stride=2)
            else:
                layer = Conv(inputs, channels, kernel, padding=tuple(side // 2 for side in kernel))
            setattr(self, name, layer)
            return channels

        for branch in branches:
            channels = inputs
            for layer in branch:
                ends = layer if isinstance(layer, list) else [layer]
                channels = sum(add(name, channels, size, kernel) for name, size, kernel in ends)
            outputs += channels
        self.outputs = outputs if branches[-1][0][0] == "branch_pool" else outputs + inputs

    def forward(self, x):
        results = []
        for branch in self.branches:
            y = self.pool(x) if branch[0][0] == "branch_pool" else x
            for layer in branch:
                ends = layer if isinstance(layer, list) else [layer]
                y = torch.cat([getattr(self, name)(y) for name, _, _ in ends], 1)
            results.append(y)
        if self.branches[-1][0][0] != "branch_pool":
            results.append(self.pool(x))
        return torch.cat(results, 1)


def block_a(pooled):
    return [
        [("branch1x1", 64, (1, 1))],
        [("branch5x5_1", 48, (1, 1)), ("branch5x5_2", 64, (5, 5))],
        [("branch3x3dbl_1", 64, (1, 1)), ("branch3x3dbl_2", 96, (3, 3)), ("branch3x3dbl_3", 96, (3, 3))],
        [("branch_pool", pooled, (1, 1))],
    ]


BLOCK_B = [
    [("branch3x3", 384, -3)],
    [("branch3x3dbl_1", 64, (1, 1)), ("branch3x3dbl_2", 96, (3, 3)), ("branch3x3dbl_3", 96, -3)],
]


def block_c(c):
    return [
        [("branch1x1", 192, (1, 1))],
        [("branch7x7_1", c, (1, 1)), ("branch7x7_2", c, (1, 7)), ("branch7x7_3", 192, (7, 1))],
        [
            ("branch7x7dbl_1", c, (1, 1)),
            ("branch7x7dbl_2", c, (7, 1)),
            ("branch7x7dbl_3", c, (1, 7)),
            ("branch7x7dbl_4", c, (7, 1)),
            ("branch7x7dbl_5", 192, (1, 7)),
        ],
        [("branch_pool", 192, (1, 1))],
    ]


BLOCK_D = [
    [("branch3x3_1", 192, (1, 1)), ("branch3x3_2", 320, -3)],
    [
        ("branch7x7x3_1", 192, (1, 1)),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
        ("branch7x7x3_4", 192, -3),
    ],
]

BLOCK_E = [
    [("branch1x1", 320, (1, 1))],
    [("branch3x3_1", 384, (1, 1)), [("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))]],
    [
        ("branch3x3dbl_1", 448, (1, 1)),
        ("branch3x3dbl_2", 384, (3, 3)),
        [("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))],
    ],
    [("branch_pool", 192, (1, 1))],
]


def max_pool(stride, padding):
    return lambda x: F.max_pool2d(x, 3, stride, padding)


class Inception(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32 // width, 3, stride=2)
        self.Conv2d_2a_3x3 = Conv(32 // width, 32 // width, 3)
        self.Conv2d_2b_3x3 = Conv(32 // width, 64 // width, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64 // width, 80 // width, 1)
        self.Conv2d_4a_3x3 = Conv(80 // width, 192 // width, 3)
        channels = 192 // width
        for name, branches, pool in [
            ("Mixed_5b", block_a(32), average3),
            ("Mixed_5c", block_a(64), average3),
            ("Mixed_5d", block_a(64), average3),
            ("Mixed_6a", BLOCK_B, max_pool(2, 0)),
            ("Mixed_6b", block_c(128), average3),
            ("Mixed_6c", block_c(160), average3),
            ("Mixed_6d", block_c(160), average3),
            ("Mixed_6e", block_c(192), average3),
            ("Mixed_7a", BLOCK_D, max_pool(2, 0)),
            ("Mixed_7b", BLOCK_E, average3),
            ("Mixed_7c", BLOCK_E, max_pool(1, 1)),
        ]:
            block = Block(channels, branches, pool, width)
            setattr(self, name, block)
            channels = block.outputs
        self.fc = nn.Linear(channels, 1008 // width)

    def forward(self, x):
        recorded = {}
        for name, module in self.named_children():
            if name == "fc":
                break
            x = module(x)
            recorded[name] = x
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = F.max_pool2d(x, 3, 2)
        pool3 = x.mean((2, 3))
        # Without the bias, as the Inception score has been computed from the first.
        return pool3, pool3 @ self.fc.weight.T, recorded


def weight(case, name, shape):
    """Variances are about half of what leaves a convolution, of which ReLU removes half."""
    if name.endswith("running_mean"):
        return formula.scaled(case, name, shape, 0.2)
    if name.endswith("running_var"):
        return formula.scaled(case, name, shape, 0.15, 0.5)
    return formula.parameter(case, name, shape)


def build(case, width, dtype):
    model = Inception(width).eval()
    state = {
        name: torch.from_numpy(weight(case, name, tuple(value.shape)))
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    model.load_state_dict(state, strict=False)
    return model.to(dtype)


def resized(images, side, convention):
    """Bytes [N, 3, H, W] as floats, at the network's size."""
    if convention == "pytorch-fid":
        return F.interpolate(images / 255, (side, side), mode="bilinear", align_corners=False) * 2 - 1

    def axis(x, dim):
        size = x.shape[dim]
        at = torch.arange(side, dtype=x.dtype) * size / side
        near = at.floor().long()
        far = (near + 1).clamp(max=size - 1)
        share = (at - near).reshape([-1 if d == dim else 1 for d in range(4)])
        return x.index_select(dim, near) * (1 - share) + x.index_select(dim, far) * share

    return (axis(axis(images, 2), 3) - 128) / 128


def run(case, settings, convention, dtype):
    shape = settings["images"]
    values = formula.values(case, "images", int(np.prod(shape)))
    images = torch.from_numpy(np.floor((values + 1) * 128).reshape(shape)).to(dtype)
    model = build(case, settings["divisor"], dtype)
    with torch.no_grad():
        return model(resized(images, settings["side"], convention))


def worst(ours, exact):
    return max(((a.double() - b).abs().max() / b.abs().max()).item() for a, b in zip(ours, exact))


def write(name):
    settings = CASES[name]
    case = f"inception_{name}"
    pool3, logits, recorded = run(case, settings, "pytorch-fid", torch.float64)
    close3, close_logits, close = run(case, settings, "pytorch-fid", torch.float32)
    tf3, tf_logits, _ = run(case, settings, "tensorflow", torch.float64)
    formula.write(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{case}.json"),
        {
            "case": case,
            "divisor": settings["divisor"],
            "side": settings["side"],
            "images": settings["images"],
            "float32": {
                "pool3": worst([close3], [pool3]),
                "logits": worst([close_logits], [logits]),
                "activations": worst(close.values(), recorded.values()),
            },
            "pool3": formula.digest(pool3),
            "logits": formula.digest(logits),
            "tensorflow": {"pool3": formula.digest(tf3), "logits": formula.digest(tf_logits)},
            "activations": {key: formula.digest(value) for key, value in recorded.items()},
        },
        10,
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        write(name)
