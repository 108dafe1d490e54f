"""Writes unet_*.json: outputs, losses and gradients of diffusers' UNet2DModel, and two short training runs.

Weights and inputs come from formula.py (case = the file's case name; a parameter's name is its key in the state dict), all
exact in float32. Everything is computed in float64; `float32` in each file says how far the same code in float32 is off.
"""

import copy
import os
import sys
from unittest import mock

import diffusers
import numpy as np
import torch

import formula

COMMON = {
    "act_fn": "silu",
    "center_input_sample": False,
    "downsample_padding": 0,
    "dropout": 0.0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 3,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-6,
    "out_channels": 3,
    "time_embedding_type": "positional",
}


def config(channels, attention, layers, head_dim, groups, size, classes=None):
    """A config.json; `attention` says for each level whether it has attention."""
    return {
        "_class_name": "UNet2DModel",
        **COMMON,
        "attention_head_dim": head_dim,
        "block_out_channels": channels,
        "down_block_types": ["AttnDownBlock2D" if on else "DownBlock2D" for on in attention],
        "layers_per_block": layers,
        "norm_num_groups": groups,
        "num_class_embeds": classes,
        "sample_size": size,
        "up_block_types": ["AttnUpBlock2D" if on else "UpBlock2D" for on in reversed(attention)],
    }


class TimeProjection(torch.nn.Module):
    """diffusers' sinusoidal embedding, whose code asks for torch.float32, in the model's own type."""

    def __init__(self, inner, dtype):
        super().__init__()
        self.inner = inner
        self.dtype = dtype

    def forward(self, timesteps):
        with mock.patch.object(torch, "float32", self.dtype):
            return self.inner(timesteps)


def build(case, settings, dtype):
    model = diffusers.UNet2DModel(**{key: value for key, value in settings.items() if key != "_class_name"})
    state = {name: formula.parameter(case, name, tuple(p.shape)) for name, p in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    if settings["time_embedding_type"] == "positional":
        model.time_proj = TimeProjection(model.time_proj, dtype)
    return model.to(dtype).train()


def tensor(case, name, shape, scale, dtype):
    return torch.from_numpy(formula.scaled(case, name, shape, scale)).to(dtype)


def activations(model):
    """Records the outputs of the blocks' parts, by module name, to find where two networks part."""
    kinds = ("resnets", "attentions", "downsamplers", "upsamplers")
    recorded = {}
    for name, module in model.named_modules():
        parts = name.split(".")
        if name in ("conv_in", "time_embedding", "conv_norm_out", "conv_out") or (len(parts) > 2 and parts[-2] in kinds):
            module.register_forward_hook(lambda _m, _i, out, name=name: recorded.__setitem__(name, out.detach()))
    return recorded


def output_shape(settings, shape):
    return [shape[0], settings["out_channels"], *shape[2:]]


def run(case, settings, shape, timesteps, labels, dtype):
    model = build(case, settings, dtype)
    recorded = activations(model)
    x = tensor(case, "x", shape, 2, dtype)
    target = tensor(case, "target", output_shape(settings, shape), 1.5, dtype)
    output = model(x, torch.tensor(timesteps), None if labels is None else torch.tensor(labels)).sample
    loss = ((output - target) ** 2).mean()
    loss.backward()
    return output, loss, {name: p.grad for name, p in model.named_parameters() if p.requires_grad}, recorded


def worst(ours, exact):
    """Largest deviation, as a share of the tensor's largest magnitude, over all tensors that are not zero."""
    shares = [
        ((ours[name].double() - value).abs().max() / value.abs().max()).item()
        for name, value in exact.items()
        if value.abs().max() > 1e-12
    ]
    return max(shares)


def network(case, settings, shape, timesteps, labels=None, samples=64, whole=256):
    inputs = (case, settings, shape, timesteps, labels)
    output, loss, gradients, recorded = run(*inputs, torch.float64)
    single = run(*inputs, torch.float32)
    content = {
        "case": case,
        "config": settings,
        "inputs": {"shape": shape, "timesteps": timesteps, "labels": labels},
        "loss": loss.item(),
        "float32": {
            "output": worst({"": single[0]}, {"": output}),
            "loss": abs(single[1].item() / loss.item() - 1),
            "gradients": worst(single[2], gradients),
        },
        "output": formula.digest(output, 256),
        "activations": {name: formula.digest(value, 16, whole) for name, value in recorded.items()},
        "gradients": {name: formula.digest(value, samples, whole) for name, value in gradients.items()},
    }
    save(case, content)
    small = [name for name, value in gradients.items() if value.abs().max() < 1e-12]
    print(case, sum(p.numel() for p in gradients.values()), "parameters; loss", loss.item(), content["float32"])
    print("  gradient norm", np.sqrt(sum(float((g**2).sum()) for g in gradients.values())), "zero:", small)


def train(case, settings, shape, weight_decay, dtype, steps=10):
    """Ten steps of AdamW with warm-up, clipping by global norm and EMA, on batches of the formula."""
    rate, warmup, clip, decay = 1e-3, 4, 1.0, 0.9
    model = build(case, settings, dtype)
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
    cumprod = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    recorded = []
    for k in range(steps):
        draws = (formula.values(case, f"draws/{k}", 2 * shape[0]) + 1) / 2
        timesteps = np.floor(draws[: shape[0]] * 1000).astype(int)
        labels = np.floor(draws[shape[0] :] * settings["num_class_embeds"]).astype(int)
        acp = torch.from_numpy(cumprod[timesteps]).to(dtype).reshape(-1, 1, 1, 1)
        noise = tensor(case, f"noise/{k}", shape, np.sqrt(3), dtype)
        x = acp.sqrt() * tensor(case, f"x0/{k}", shape, 1, dtype) + (1 - acp).sqrt() * noise
        predicted = model(x, torch.from_numpy(timesteps), torch.from_numpy(labels)).sample
        loss = ((predicted - noise) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (k + 1) / warmup)
        optimizer.step()
        with torch.no_grad():
            for ours, theirs in zip(average.parameters(), model.parameters()):
                ours.mul_(decay).add_(theirs, alpha=1 - decay)
        recorded.append({
            "timesteps": timesteps.tolist(),
            "labels": labels.tolist(),
            "loss": loss.item(),
            "gradNorm": norm.item(),
            "lr": optimizer.param_groups[0]["lr"],
        })
    # The keys' bias has no gradient (softmax ignores a shift), so Adam turns its rounding errors into steps.
    state = {name: value for name, value in model.state_dict().items() if not name.endswith("to_k.bias")}
    ema = {name: average.state_dict()[name] for name in state}
    options = {
        "lr": rate, "warmup": warmup, "clip": clip, "ema": decay,
        "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weightDecay": weight_decay,
    }
    return options, recorded, state, ema


def training(case, settings, shape, weight_decay):
    options, recorded, state, ema = train(case, settings, shape, weight_decay, torch.float64)
    _, single, single_state, single_ema = train(case, settings, shape, weight_decay, torch.float32)
    content = {
        "case": case,
        "config": settings,
        "shape": shape,
        "options": options,
        "float32": {
            "loss": max(abs(a["loss"] / b["loss"] - 1) for a, b in zip(single, recorded)),
            "gradNorm": max(abs(a["gradNorm"] / b["gradNorm"] - 1) for a, b in zip(single, recorded)),
            "weights": max(float((single_state[name].double() - value).abs().max()) for name, value in state.items()),
            "ema": max(float((single_ema[name].double() - value).abs().max()) for name, value in ema.items()),
        },
        "steps": {str(k): step for k, step in enumerate(recorded)},
        "weights": {name: formula.digest(value) for name, value in state.items()},
        "emaWeights": {name: formula.digest(value) for name, value in ema.items()},
    }
    save(case, content)
    print(case, sum(p.numel() for p in state.values()), "parameters;", content["float32"])
    for step in recorded:
        print("  loss", step["loss"], "norm", step["gradNorm"], "lr", step["lr"])


def save(case, content):
    formula.write(os.path.join(os.path.dirname(__file__), f"unet_{case}.json"), content, 9)


CASES = {
    "reference32": lambda case: network(
        case, config([32, 64, 64, 64], [False, True, False, False], 2, None, 8, 32), [2, 3, 32, 32], [3, 871]
    ),
    "heads": lambda case: network(case, config([32], [True], 1, 8, 8, 7), [3, 3, 7, 7], [0, 999, 500]),
    "classes": lambda case: network(
        case, config([12, 20, 20], [False, False, True], 1, 4, 4, 12, 11), [3, 3, 12, 8], [17, 640, 998], [10, 3, 0]
    ),
    "unaligned": lambda case: network(
        case, config([6, 18], [True, False], 2, 6, 2, 6, 3), [2, 3, 6, 6], [250, 750], [2, 1]
    ),
    "scale_shift": lambda case: network(
        case,
        {**config([6, 9], [False, True], 1, None, 3, 8, 3), "resnet_time_scale_shift": "scale_shift"},
        [2, 3, 8, 8], [40, 900], [1, 2], 8, 9,
    ),
    "resampling": lambda case: network(
        case,
        {
            **config([8, 12, 12], [False, True, False], 1, 4, 2, 8),
            "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["ResnetUpsampleBlock2D", "AttnUpBlock2D", "UpBlock2D"],
            "downsample_type": "resnet",
            "upsample_type": "resnet",
            "resnet_time_scale_shift": "scale_shift",
            "attn_norm_num_groups": 3,
            "time_embedding_dim": 20,
        },
        [2, 3, 8, 12], [0, 600], None, 8, 9,
    ),
    "variance": lambda case: network(
        case,
        {
            **config([8, 8], [True, False], 1, 4, 2, 8),
            "down_block_types": ["AttnDownBlock2D", "ResnetDownsampleBlock2D"],
            "up_block_types": ["UpBlock2D", "AttnUpBlock2D"],
            "upsample_type": "resnet",
            "mid_block_type": None,
            "out_channels": 6,
            "downsample_padding": 1,
            "flip_sin_to_cos": True,
            "freq_shift": 0,
        },
        [2, 3, 8, 8], [7, 321], None, 8, 9,
    ),
    **{
        act: lambda case: network(
            case,
            {
                **config([6, 9], [False, True], 1, None, 3, 8, 3), "act_fn": case,
                "resnet_time_scale_shift": "scale_shift" if case == "gelu" else "default",
                "center_input_sample": case == "relu", "mid_block_scale_factor": 1.5 if case == "relu" else 1,
            },
            [2, 3, 8, 8], [40, 900], [1, 2], 2, 4,
        )
        for act in ("mish", "gelu", "relu")
    },
    "learned_time": lambda case: network(
        case,
        {**config([6, 9], [False, True], 1, None, 3, 8, 3), "time_embedding_type": "learned", "num_train_timesteps": 20},
        [3, 3, 8, 8], [19, 4, 19], [1, 2, 0], 2, 4,
    ),
    "fourier": lambda case: network(
        case, {**config([6, 9], [False, True], 1, None, 3, 8, 3), "time_embedding_type": "fourier"},
        [3, 3, 8, 8], [1000, 371.5, 2.25], [1, 2, 0], 2, 4,
    ),
    "class_numbers": lambda case: network(
        case, {**config([6, 9], [False, True], 1, None, 3, 8, 40), "class_embed_type": "timestep", "flip_sin_to_cos": True},
        [2, 3, 8, 8], [40, 900], [37, 2], 2, 4,
    ),
    "train_adam": lambda case: training(case, config([16, 24], [False, True], 1, 8, 4, 8, 11), [4, 3, 8, 8], 0.0),
    "train_adamw": lambda case: training(case, config([16, 24], [False, True], 1, 8, 4, 8, 11), [4, 3, 8, 8], 0.01),
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or CASES:
        CASES[name](name)
